"""Programs that run in the cluster's own pods, from the cluster's own Ray image.

They are shipped in a ConfigMap and run as `python -m incluster.NAME`. So they use the standard library only,
run on every Python of a Ray image (3.9 to 3.13), import nothing else of raystead, ask no API server and mount
no ServiceAccount token.
"""
