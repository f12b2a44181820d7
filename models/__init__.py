"""The model library: names, manifests, blobs, downloads and file headers. Knows no engine and no MLX."""
