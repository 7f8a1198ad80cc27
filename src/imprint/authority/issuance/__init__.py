"""What a certificate contains and who signs it."""
