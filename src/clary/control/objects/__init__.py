"""S3: rclone over plain files behind the gateway, or any other endpoint."""
