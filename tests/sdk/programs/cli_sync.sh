#!/bin/sh
# aws s3 sync, both ways and twice: a second run has nothing to do.
set -eu

bucket=cli-sync
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/up/deep"
for name in 1 2 deep/3; do echo "$name" > "$work/up/$name"; done

aws s3 mb "s3://$bucket"
echo "first up"
aws s3 sync --no-progress "$work/up" "s3://$bucket/set" --sse AES256
echo "second up"
aws s3 sync --no-progress "$work/up" "s3://$bucket/set"
echo "first down"
aws s3 sync --no-progress --exact-timestamps "s3://$bucket/set" "$work/down"
echo "second down"
aws s3 sync --no-progress --exact-timestamps "s3://$bucket/set" "$work/down"
echo "done"
diff -r "$work/up" "$work/down"
aws s3 rb --force "s3://$bucket"
