"""Copies of a data folder, taken while the server works, and their way back.

A backup is a folder: the same files as in the data folder, and ``manifest.json``, which is written last and names each
with its size and digest. Its order is what makes it whole:

1. The database, as it is at one moment (``database_copy``). All that was answered for before is in it.
2. The bytes of every uploaded file that it names. They never change; one that is gone was deleted meanwhile.
3. Of every sandbox that it names the record and the disk, as of one moment: while nothing writes to it, or while its
   file system is held still (``disk_copy``). What neither could be done with is called torn, and does not come back.
4. Rows of containers and files that were deleted meanwhile are taken out of the copy (``database_copy.prune``).

What came after the first step may be in a disk but not in the database's copy: the list of a container's files can lack
one that is there, and never names one that was lost.
"""
