"""Files in and out: NIfTI, the CT in it, VerSe's centroids and masks, the preview picture."""
