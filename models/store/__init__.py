"""The library on disk: blobs by digest, manifests by name."""
