"""What a real machine's SMBIOS tables look like, for a lab host that shall have them.

The text is what `dmidecode -q` prints; the vendors are invented.
"""

_DIMM = """Memory Device
	Total Width: {width}
	Data Width: {width}
	Size: {size}
	Form Factor: DIMM
	Set: None
	Locator: DIMM_{slot}
	Bank Locator: P0 CHANNEL {channel}
	Type: {type}
	Type Detail: Synchronous Registered (Buffered)
	Speed: {speed}
	Manufacturer: {maker}
	Serial Number: {serial}
	Asset Tag: None
	Part Number: {part}

"""

_PROCESSOR = """Processor Information
	Socket Designation: CPU{n}
	Type: Central Processor
	Family: Zen
	Manufacturer: Example Processors
	Signature: Family 25, Model 1, Stepping 1
	Version: Example X9 16-Core Processor
	External Clock: 100 MHz
	Max Speed: 3700 MHz
	Status: Populated, Enabled
	Serial Number: Unknown
	Part Number: Unknown

"""

_HEAD = """BIOS Information
	Vendor: Example Firmware
	Version: 2.14
	Release Date: 09/30/2025

System Information
	Manufacturer: Example Systems
	Product Name: R760 Lab
	Version: 1.2
	Serial Number: LAB0001
	UUID: 4c4c4544-0034-4a10-8052-b5c04f4e4c41
	SKU Number: R760-LAB
	Family: Rack

Base Board Information
	Manufacturer: Example Systems
	Product Name: Board C
	Version: C02
	Serial Number: BB-778
	Asset Tag: A-12
	Location In Chassis: Slot 1

Chassis Information
	Manufacturer: Example Systems
	Version: 2U
	Serial Number: CH-4411
	Asset Tag: RACK-7
	SKU Number: CH-2U

"""


def dmidecode_text() -> str:
    """BIOS, system, board, chassis, two processors and eight memory slots, two of them empty."""
    dimms = "".join(_dimm(channel, n) for channel in "AB" for n in range(1, 5))
    return _HEAD + _PROCESSOR.format(n=1) + _PROCESSOR.format(n=2) + dimms


def _dimm(channel: str, n: int) -> str:
    slot = f"{channel}{n}"
    if n == 4:
        return _DIMM.format(
            width="Unknown", size="No Module Installed", slot=slot, channel=channel, type="Unknown",
            speed="Unknown", maker="Unknown", serial="Unknown", part="Unknown",
        )  # fmt: skip
    return _DIMM.format(
        width="64 bits", size="64 GB", slot=slot, channel=channel, type="DDR5", speed="4800 MT/s",
        maker="Example Memory", serial=f"S67{ord(channel)}{n}343", part="EM64-4800",
    )  # fmt: skip
