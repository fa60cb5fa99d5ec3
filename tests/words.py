"""`make words`: writes the messages that app/ marks into the catalogues, app/translations/*/
LC_MESSAGES/npvirt.po, and compiles these. What is translated there stays, what nobody says any
more goes. By Babel, which is for developers alone: npvirt reads what is compiled by itself.
"""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from app.language import FOLDER

_APP = FOLDER.parent
_READ = [("**.py", "python"), ("templates/**.html", "jinja2")]
# The templates as app/web/__init__.py has them read.
_OPTIONS = {
    "templates/**.html": {
        "trim_blocks": "true", "lstrip_blocks": "true", "newstyle_gettext": "true",
        "silent": "false",
    },
}  # fmt: skip
# Files say when they were made; what is compiled is the same whenever that is.
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def marked() -> Catalog:
    """What app/ marks, without any translation."""
    found = Catalog()
    for _, _, message, _, context in extract_from_dir(str(_APP), _READ, _OPTIONS):
        found.add(message, context=context)
    return found


def files() -> list[Path]:
    """The catalogue of every language."""
    return sorted(FOLDER.glob("*/LC_MESSAGES/npvirt.po"))


def read(file: Path) -> Catalog:
    """The catalogue in a file."""
    with file.open("rb") as opened:
        catalogue: Catalog = read_po(opened, locale=file.parts[-3], abort_invalid=True)
    catalogue.project, catalogue.version = "npvirt", ""
    catalogue.last_translator = catalogue.language_team = "npvirt"
    catalogue.creation_date = catalogue.revision_date = _NEVER
    return catalogue


def compiled(catalogue: Catalog) -> bytes:
    """The bytes of which npvirt reads it."""
    file = BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def _brought_up(file: Path) -> None:
    catalogue = read(file)
    catalogue.update(marked(), no_fuzzy_matching=True)
    text = BytesIO()
    write_po(
        text, catalogue, width=100, no_location=True, omit_header=True, sort_output=True,
        ignore_obsolete=True,
    )  # fmt: skip
    # Its head, up to the first empty line, is the translators'.
    head = file.read_text(encoding="utf-8").partition("\n\n")[0]
    file.write_text(f"{head}\n\n{text.getvalue().decode()}", encoding="utf-8")
    file.with_suffix(".mo").write_bytes(compiled(read(file)))
    left = [message.id for message in catalogue if message.id and not message.string]
    print(f"{file.relative_to(_APP.parent)}: {len(catalogue)} messages, {len(left)} without words")


if __name__ == "__main__":
    for each in files():
        _brought_up(each)
