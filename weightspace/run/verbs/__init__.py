"""What the command line does with files of networks, one verb a file or a few."""
