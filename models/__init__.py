"""The model library: names, manifests, blobs, downloads, file headers. No engine and no MLX."""
