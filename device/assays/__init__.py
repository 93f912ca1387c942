"""Assays: shipped ones, files, and what they are taught. The value itself is device.counting.assay.Assay."""
