"""The header entries that are read: keyword, tag, and value representation of each."""
# SPDX-License-Identifier: Apache-2.0

TABLE = """
00080005 CS SpecificCharacterSet        00080008 CS ImageType
00080016 UI SOPClassUID                 00080018 UI SOPInstanceUID
00080020 DA StudyDate                   00080021 DA SeriesDate
00080022 DA AcquisitionDate             00080023 DA ContentDate
0008002a DT AcquisitionDateTime         00080031 TM SeriesTime
00080032 TM AcquisitionTime             00080033 TM ContentTime
00080050 SH AccessionNumber             00080060 CS Modality
00080070 LO Manufacturer                00081030 LO StudyDescription
0008103e LO SeriesDescription           00081090 LO ManufacturerModelName
00089208 CS ComplexImageComponent       00100010 PN PatientName
00100020 LO PatientID                   00100030 DA PatientBirthDate
00100040 CS PatientSex                  00101010 AS PatientAge
00101020 DS PatientSize                 00101030 DS PatientWeight
00180015 CS BodyPartExamined            00180020 CS ScanningSequence
00180050 DS SliceThickness              00180060 DS KVP
00180080 DS RepetitionTime              00180081 DS EchoTime
00180082 DS InversionTime               00180086 IS EchoNumbers
00180087 DS MagneticFieldStrength       00180088 DS SpacingBetweenSlices
00181030 LO ProtocolName                00181060 DS TriggerTime
00181063 DS FrameTime                   00181100 DS ReconstructionDiameter
00181120 DS GantryDetectorTilt          00181151 IS XRayTubeCurrent
00181152 IS Exposure                    00181164 DS ImagerPixelSpacing
00181210 SH ConvolutionKernel           00181242 IS ActualFrameDuration
00181314 DS FlipAngle                   00185100 CS PatientPosition
00189087 FD DiffusionBValue             0020000d UI StudyInstanceUID
0020000e UI SeriesInstanceUID           00200011 IS SeriesNumber
00200012 IS AcquisitionNumber           00200013 IS InstanceNumber
00200032 DS ImagePositionPatient        00200037 DS ImageOrientationPatient
00200052 UI FrameOfReferenceUID         00200100 IS TemporalPositionIdentifier
00200105 IS NumberOfTemporalPositions   00200110 DS TemporalResolution
00209056 SH StackID                     00280002 US SamplesPerPixel
00280004 CS PhotometricInterpretation   00280006 US PlanarConfiguration
00280008 IS NumberOfFrames              00280010 US Rows
00280011 US Columns                     00280030 DS PixelSpacing
00280100 US BitsAllocated               00280101 US BitsStored
00280102 US HighBit                     00280103 US PixelRepresentation
00280120 US PixelPaddingValue           00281052 DS RescaleIntercept
00281053 DS RescaleSlope                00281054 LO RescaleType
00282110 CS LossyImageCompression       00283000 SQ ModalityLUTSequence
00541001 CS Units                       00541102 CS DecayCorrection
00280051 CS CorrectedImage              00541300 DS FrameReferenceTime
0019100c IS SiemensBValue               00190010 LO SiemensCreator
20011003 FL PhilipsBValue               20010010 LO PhilipsCreator
00431039 IS GEBValue                    00430010 LO GECreator
52009230 SQ PerFrameFunctionalGroupsSequence
"""
"""PS3.6, and three private tags of diffusion weighting with the creators of their blocks."""

_WORDS = TABLE.split()
TAGS = {
    keyword: (int(tag, 16), vr.encode())
    for tag, vr, keyword in zip(_WORDS[::3], _WORDS[1::3], _WORDS[2::3], strict=True)
}
"""Tag and value representation by keyword."""
PRIVATE_B_VALUES = {
    "SiemensBValue": ("SiemensCreator", "SIEMENS MR HEADER"),
    "PhilipsBValue": ("PhilipsCreator", "Philips Imaging DD 001"),
    "GEBValue": ("GECreator", "GEMS_PARM_01"),
}
"""Private b-values, each with the creator that its block must have."""

ACQUISITION = (
    "Modality",
    "SeriesNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "BodyPartExamined",
    "PatientPosition",
    "SliceThickness",
    "SpacingBetweenSlices",
    "KVP",
    "XRayTubeCurrent",
    "Exposure",
    "ConvolutionKernel",
    "ReconstructionDiameter",
    "GantryDetectorTilt",
    "MagneticFieldStrength",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "Units",
    "DecayCorrection",
    "CorrectedImage",
    "RescaleType",
    "PixelPaddingValue",
    "LossyImageCompression",
)
"""What identifies nobody and is the same for a whole volume."""
PER_SLICE = (
    "InstanceNumber",
    "AcquisitionNumber",
    "EchoNumbers",
    "StackID",
    "ComplexImageComponent",
    "DiffusionBValue",
    "SiemensBValue",
    "SiemensCreator",
    "PhilipsBValue",
    "PhilipsCreator",
    "GEBValue",
    "GECreator",
    "TemporalPositionIdentifier",
    "TemporalResolution",
    "TriggerTime",
    "FrameTime",
    "FrameReferenceTime",
    "ActualFrameDuration",
    "ScanningSequence",
)
"""What tells the slices of a series apart."""
IDENTIFYING = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "AccessionNumber",
    "StudyDate",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ContentDate",
    "ContentTime",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
)
"""What may identify a patient: it gets into ``meta`` only when asked for."""
