"""npvirt's settings: what there is (declared), what each may be (values), and reading them."""

from app.settings.declared import SETTINGS, Setting, Settings
from app.settings.loading import load
from app.settings.values import Bind, Place, duration_s

__all__ = ["SETTINGS", "Bind", "Place", "Setting", "Settings", "duration_s", "load"]
