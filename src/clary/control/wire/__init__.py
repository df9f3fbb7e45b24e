"""The AWS protocols, generic: requests checked and answers shaped by botocore's own service descriptions."""
