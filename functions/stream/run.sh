#!/bin/sh
# Started by Lambda Web Adapter in place of the runtime. Without `site`: the package brings all that is imported.
cd "$LAMBDA_TASK_ROOT" && exec python3 -sSB -m functions.stream
