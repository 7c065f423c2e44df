"""The operating system: files, disks, signals, threads."""
