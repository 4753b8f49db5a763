#!/bin/sh
# Run once by InfluxDB's image, after its set-up: the unblinded bucket, and the mapping by which InfluxQL finds a bucket.
set -eu
influx bucket create --name coldchain-unblinded --retention 0
for bucket in coldchain coldchain-unblinded; do
    id=$(influx bucket list --name "$bucket" --hide-headers | cut -f 1)
    influx v1 dbrp create --db "$bucket" --rp autogen --bucket-id "$id" --default
done
