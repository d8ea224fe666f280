"""What made a result: records inside files, and the command that makes it again."""
