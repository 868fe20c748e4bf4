"""Images: the root file systems that sandboxes start from, and how they come to be.

An image is a folder ``<images_dir>/<image id>/`` with ``rootfs/`` and, written last, ``image.json``. Files in
``rootfs`` belong to the ids 0..65535 as they stand in the image (a sandbox sees them through an idmapped mount), so
the folder around it is closed to everybody but root. ``recipe`` reads what an image is made from, ``build`` makes
it, ``import_`` takes one that somebody else made, ``shelf`` keeps them: it alone decides what is whole.
"""
