#!/bin/sh
# Exit code 0: this host may have the address. One of the two pages is enough; CHECK_HTTP would want both.
for page in http://127.0.0.1/ http://127.0.0.1:8080/; do
    wget -q -O /dev/null "$page" && exit 0
done
exit 1
