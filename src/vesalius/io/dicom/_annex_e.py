"""PS3.15 Annex E as data: what becomes of each attribute, and which private ones are safe.

Facts of Table E.1-1 (655 rows) and Table E.3.10-1 of the edition below, written compactly: the
elements of a group stand behind its number. ``dates`` is short for ``full=K modified=C``. The basic
column was compared with a list of 2026c: one row more, Display URI (0040,E012), taken over.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, final

EDITION = "2025e"
"""Edition of PS3.15 whose tables these are."""

Option = Literal[
    "clean-pixel-data",
    "clean-graphics",
    "clean-structured-content",
    "clean-descriptors",
    "retain-full-dates",
    "retain-modified-dates",
    "retain-patient-characteristics",
    "retain-device-identity",
    "retain-uids",
    "retain-safe-private",
    "retain-institution-identity",
]
"""Options of the profile (PS3.15 E.3); faces (113102) are not cleaned here, only told."""
BASIC = ("113100", "Basic Application Confidentiality Profile")
CODES: dict[Option, tuple[str, str]] = {
    "clean-pixel-data": ("113101", "Clean Pixel Data Option"),
    "clean-graphics": ("113103", "Clean Graphics Option"),
    "clean-structured-content": ("113104", "Clean Structured Content Option"),
    "clean-descriptors": ("113105", "Clean Descriptors Option"),
    "retain-full-dates": (
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
    ),
    "retain-modified-dates": (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    "retain-patient-characteristics": ("113108", "Retain Patient Characteristics Option"),
    "retain-device-identity": ("113109", "Retain Device Identity Option"),
    "retain-uids": ("113110", "Retain UIDs Option"),
    "retain-safe-private": ("113111", "Retain Safe Private Option"),
    "retain-institution-identity": ("113112", "Retain Institution Identity Option"),
}
"""Code and meaning of each option (PS3.16 CID 7050)."""
COLUMNS: dict[str, Option] = {
    "graphics": "clean-graphics",
    "structured": "clean-structured-content",
    "descriptors": "clean-descriptors",
    "full": "retain-full-dates",
    "modified": "retain-modified-dates",
    "patient": "retain-patient-characteristics",
    "device": "retain-device-identity",
    "uids": "retain-uids",
    "institution": "retain-institution-identity",
}


@final
@dataclass(frozen=True, slots=True)
class Rule:
    """One row of Table E.1-1.

    Attributes:
        basic: Action of the basic profile: D, Z, X, U, or several with strokes between.
        options: Action under each option that changes it: K or C.
    """

    basic: str
    options: Mapping[Option, str] = field(default_factory=dict)

    def under(self, chosen: tuple[Option, ...]) -> str:
        """Give the action under some options; cleaning wins over keeping.

        Args:
            chosen: The options.

        Returns:
            The action: that of the basic profile, or K or C.
        """
        found = {self.options[o] for o in chosen if o in self.options}
        return "C" if "C" in found else "K" if found else self.basic


@cache
def rules() -> Mapping[int, Rule]:
    """Give the rule of each attribute by its tag; curves, overlays and private ones are apart."""
    found: dict[int, Rule] = {}
    for head, text in _TABLE.items():
        basic, *words = head.replace("dates", "full=K modified=C").split()
        pairs = (word.split("=") for word in words)
        rule = Rule(basic, {COLUMNS[name]: action for name, action in pairs})
        found |= {int(group + element, 16): rule for group, element in _entries(text)}
    return found


@cache
def safe_private() -> Mapping[tuple[str, int, int], str]:
    """Give the VR of each private attribute kept as safe, by (creator, group, element).

    A subset of Table E.3.10-1: numbers and code strings. Its texts, sequences, UIDs and binary
    blocks are not taken on trust.
    """
    found: dict[tuple[str, int, int], str] = {}
    for (creator, group), text in _SAFE.items():
        found |= {(creator, group, int(e, 16)): vr for vr, e in _entries(text)}
    return found


def _entries(text: str) -> list[tuple[str, str]]:
    """Split ``"A:1,2 B:3"`` into (A, 1), (A, 2), (B, 3)."""
    parts = (word.split(":") for word in text.split())
    return [(head, one) for head, tail in parts for one in tail.split(",")]


_TABLE: dict[str, str] = {
    "X": """
        0008:0092,0094,0096,009D,1048,1049,1050,1052,1060,1062
        0010:0011,0012,0013,0014,0015,0021,0032,0041,0044,0050,0101,0102,1000,1001,1002,1005
        0010:1040,1050,1060,1080,1081,1090,1100,2150,2152,2154,2155,21F0,2297,2299
        0012:0022,0023,0032,0041,0043,0055,0071,0073,0082
        0016:004D,0070,0071,0072,0073,0074,0075,0076,0077,0078,0079,007A,007B,007C,007D,007E
        0016:007F,0080,0081,0082,0083,0084,0085,0086,0087,0088,0089,008A,008B,008C,008E
        0020:3406 0028:4000 0032:0012,1032
        0038:0004,0010,0011,0014,001E,0060,0061,0064,0300,0400
        0040:0006,0009,000B,0243,0253,050A,06FA,1001,1004,1005,1010,1011,1102,1103,1104,2008
        0040:2009,2010,2011,3001,4034,4035,4036,4037,A078,A07A,A07C,A307,A352,A353,A354,A358
        0040:E012 0050:001B 0070:0086 0088:0200,0904,0906,0910,0912
        0400:0402,0403,0404,0550,0551,0552,0561,0600 2030:0020 3006:004D,004E 4000:0010,4000
        4008:0040,0042,0102,010A,010C,0111,0114,0118,0119,011A,0200,0202 FFFA:FFFA FFFC:FFFC
    """,
    "X descriptors=C": """
        0008:1030,103E,1080,1084,1088,1301,1302,1303,1304,2111,4000
        0010:0016,0045,2000,2180,21B0,4000 0012:0051,0072 0016:002B,004B
        0018:4000,9185,937B,937F,9424,9937,A003 0020:0027,4000,9158
        0032:1030,1033,1066,1067,1070,4000 0038:0040,0062,4000 003A:0020,0203,020C,0329,032B
        0040:0007,0254,0275,0280,0310,051A,0556,0600,0602,1002,100A,1400,2001,2400,B03B,B03F
        0050:0021 006A:0006 3002:0121,0123 3006:0004,0006,0028,0038,0085,0088
        300A:0003,0004,000B,000E,0016,0072,00C3,00DD,0196,01A6,01B2,02EB,0676,078E,0792,0794
        300A:079A 300C:0113 3010:0036,0037,0061 4008:010B,0115,0300,4000
    """,
    "X dates": """
        0008:0015,0024,0025,0034,0035,0201 0010:21D0 0012:0086,0087 0016:008D
        0018:0027,0035,1012,1014,1042,1043,1072,1073,1078,1079,A002 0020:3403,3405
        0032:0032,0033,0034,0035,1000,1001,1010,1011,1040,1041,1050,1051
        0038:001A,001B,001C,001D,0020,0021,0030,0032
        0040:0002,0003,0004,0005,0244,0245,0250,0251,2004,2005,4005,4008,4010,4011,4050,4051
        0040:4052,A023,A024,A033,A034,A035,A110,A112,A192,A193,B034,B036,DB06,DB07,E004
        0044:0004,000B,0010,0105 0070:0082,0083 0100:0420 0400:0310 2100:0040,0050
        3006:002D,002E 3010:0085 4008:0100,0101,0108,0109,0112,0113
    """,
    "U uids=K": """
        0000:1001 0002:0003 0004:1511 0008:0014,0017,0018,0019,0058,1155,1195,3010 0018:2042
        0020:000D,000E,0052,0200,9161,9164 0028:1199,1214 003A:0310
        0040:0554,4023,A171,A172,A402,DB0C,DB0D 0062:0021 0064:0003 0070:031A,1101,1102
        0088:0140 3006:0024,00C2 300A:0013,0054,0083,0609,0650,0700,0785
        3010:0006,000B,0013,0015,0031,003B,006E,006F
    """,
    "D dates": """
        0008:0106,0107 0018:9074,9151,9369,936A,9623,9701,9804 0034:0007 003A:0314
        0040:A030,A120,A121,A122,A13A 0044:0104 0068:6226,6270 0072:000A,0061,0063,006B
        0400:0105,0562 3008:0024,0025,0162,0164,0166,0168 300A:022C,022E,0736,073A,0741,0760
    """,
    "X device=K": """
        0016:004E,004F,0050,0051 0018:1004,1005,1007,1008,1009,100A,1010,1011,5011,9373
        0020:3401 0032:1020 0040:0010,0011,0242,4025,4027,4028,4030 0050:0020 300A:0216
    """,
    "D descriptors=C": """
        0018:11BB 006A:0005 0070:0006 0072:0066,0068,006C,006E,0070 0400:0565 3006:0002
        300A:0002,0608,0619,0623,062A,067C,0734,0742,0783 3010:0033,0034,0035,0038,0054
    """,
    "D": """
        0012:0010,0020,0040,0042 0034:0001,0002,0005 0040:0512,0551,1101,A027,A073,A075,A123
        0042:0011 0072:0065,006A,006D,0071 0400:0115
    """,
    "Z": """
        0008:0050,0090,009C 0010:0010,0030 0012:0021,0050 0020:0010
        0040:0513,0562,2016,2017,A088 3006:00A6 300A:0611,0615 3010:001B
    """,
    "X/D dates": """
        0008:0012,0021,0031 0018:9516,9517 0040:A032 3008:0054,0056,0250,0251 300A:0006,0007
        3010:004C,004D
    """,
    "X patient=K": "0010:0043,0046,0047,1010,1020,1030,2160,2161,2162,21A0,21C0",
    "Z descriptors=C": "3006:0026 300A:067D 3010:000F,0017,005A,005C,007A,007B,007F,0081",
    "X device=C": "0008:0054,0055,1000 0032:1021 0040:0001,0241 0074:1234,1236 2100:0070",
    "X device=K dates": "0014:407C,407E 0018:1200,1201,1202,1204,1205",
    "Z dates": "0008:0020,0030 0040:A082 3006:0008,0009 300E:0004,0005",
    "D device=K": "0018:9367,9371 0400:0563 3010:002D",
    "X/D descriptors=C": "0018:1030,1400 3010:0056,0077",
    "Z institution=K": "0012:0030,0031,0060 0400:0564",
    "X institution=K": "0008:0081,1040,1041",
    "X patient=C descriptors=C": "0010:0042,2110 0038:0500",
    "Z/D dates": "0008:0023,0033 0018:9919",
    "D device=C": "0072:005E 2100:0140",
    "U": "0040:A124 0400:0100",
    "U uids=K device=K": "0018:1002,100B",
    "X patient=C": "0038:0050 0040:0012",
    "X uids=K": "0000:1000 0008:1120",
    "X/D device=K dates": "0018:700C,700E",
    "X/Z": "2200:0005 300E:0008",
    "X/Z dates": "0008:0022,0032",
    "X/Z descriptors=C": "0032:1060 2200:0002",
    "X/Z device=K": "3008:0105 300A:00B2",
    "X/Z/D dates": "0008:0013,002A",
    "X/Z/D device=K": "0008:1010 0018:1000",
    "X/Z/D institution=K": "0008:0080,0082",
    "X/Z/U* uids=K": "0008:1140,2112",
    "Z/D": "0010:0020 0070:0084",
    "D device=K dates": "300C:0127",
    "D graphics=C": "0070:0001",
    "D institution=K": "0012:0081",
    "D patient=K": "0072:005F",
    "D structured=C": "0040:A730",
    "D uids=K": "006A:0003",
    "X/D": "0008:1072",
    "X/D device=K": "0018:700A",
    "X/D structured=C": "0040:B020",
    "X/Z patient=K": "0010:2203",
    "X/Z structured=C": "0040:0555",
    "X/Z uids=K": "0008:1110",
    "X/Z/D": "0008:1070",
    "X/Z/D uids=K": "0008:1111",
    "Z device=K": "3010:0043",
    "Z device=K dates": "0018:1203",
    "Z patient=K": "0010:0040",
    "Z structured=C": "0040:0610",
    "Z/D descriptors=C": "0018:0010",
}

_SAFE: dict[tuple[str, int], str] = {
    ("Philips PET Private Group", 0x7053): "DS:00,09",
    ("ELSCINT1", 0x00E1): "DS:21,50",
    ("ELSCINT1", 0x01E1): "CS:26",
    ("ELSCINT1", 0x01F1): "CS:01 DS:07,26,27",
    ("GEMS_ACQU_01", 0x0019): "DS:23,24,27",
    ("GEMS_HELIOS_01", 0x0045): "SS:01 FL:02",
    ("GEIIS PACS", 0x0903): "US:10,11,12",
    ("Philips Imaging DD 001", 0x2001): """
        FL:01,03,09,11,1A,1B,22,28,29,2C,2F,32,38,39,3B,3C,3E,41,47,54,7A,F1,F2
        IS:02,08,0A,1D,43,44,45,49,51,59,72,7B,81,82,86,CB
        CS:04,06,07,0B,0C,0E,10,12,19,1C,1E,1F,21,24,26,27,2A,2B,2E,33,34,36,37,3A
        CS:3F,40,42,46,4A,4B,4C,4D,4E,53,56,57,61,62,63,67,71,77,8C,A1,DA,F3,F5
        SS:05,0F,15,16,2D,35,48 SL:13,14,17,18,60 DS:23,74,75,83,84,85,88,89,8A
        UL:30,3D,55,58,76,7C,9B,A3,A4,A5,C0,C3,DF,F4,F6
        US:31,7E,7F,9F,A2,D1,D2,D3,D4,D5,D6,D7,D8,D9,DB,DC,DD,DE FD:4F,C2
    """,
    ("Philips Imaging DD 002", 0x2001): """
        US:01,06,0C,0F,28,29,2A
        FD:02,05,08,09,0A,0B,0E,14,15,16,17,19,1A,1B,1C,1D,1E,1F,20,21,22,23,24,25
        FD:26,27,2C,2D,35,36,37,38 CS:03,07,0D,12,18,39,50,53,65,66,71
        SS:04,10,11,13,2B,2E,2F,30,31,32,33,34,3E,3F,40,75 UL:5D,5E FL:72,73
    """,
    ("Philips Imaging DD 097", 0x2001): """
        FD:02,03,04,07,0D,0F,1A,1C,1D,1E,1F,22,23,24,25,26,27,2B,2C,37,38,39,3A,3B
        FD:3D,A2,A3,A4,A5,AA US:17,18,A6 UL:1B,21,2D,40 SL:30,31,32,45,4B CS:A1 IS:A8,AB
    """,
    ("Philips Imaging DD 129", 0x2001): "UL:03,09 FD:05,06 CS:07,08",
    ("SIEMENS MR HEADER", 0x0019): "IS:0C CS:0D FD:0E,27",
    ("GEMS_PARM_01", 0x0043): "IS:39 DS:6F",
    ("GEMS_SERS_01", 0x0025): "SL:07",
    ("NQHeader", 0x0099): "SS:04 FL:10,21",
    ("NQLeft", 0x0199): """
        FL:01,02,03,04,05,06,07,08,09,0A,0B,0C,0D,0E,0F,10,11,12,13,14,15,16
    """,
    ("NQRight", 0x0299): """
        FL:01,02,03,04,05,06,07,08,09,0A,0B,0C,0D,0E,0F,10,11,12,13,14,15,16
    """,
    ("Philips MR Imaging DD 001", 0x2005): "FL:0D,0E",
    ("SIEMENS Ultrasound SC2000", 0x0119): "UL:05,06,07,08 SS:09 IS:13",
    ("SIEMENS Ultrasound SC2000", 0x0129): "CS:30",
    ("SIEMENS Ultrasound SC2000", 0x0139): "SL:01",
    ("SIEMENS Ultrasound SC2000", 0x0149): "FD:01,02,03",
}
