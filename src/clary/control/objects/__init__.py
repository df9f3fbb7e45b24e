"""Objects: files of this machine that S3 clients and jobs see alike, or an S3 endpoint elsewhere."""
