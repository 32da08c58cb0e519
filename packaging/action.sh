#!/usr/bin/env bash
# What the GitHub Action runs: COMMAND (lint or test) over PATHS, a report for machines in REPORT, the
# same for people in the log. Ends as caapc does.
set -uo pipefail
read -r -a paths <<< "${PATHS:-.}"
case "${COMMAND:-}" in
  lint) report=${REPORT:-caapc.sarif} format=sarif flags=() ;;
  test) report=${REPORT:-caapc-junit.xml} format=junit flags=() ;;
  *) echo "::error::command: expected lint or test, found '${COMMAND:-}'"; exit 2 ;;
esac
[ "$COMMAND" = lint ] && [ "${DENY_WARNINGS:-false}" = true ] && flags+=(--deny-warnings)
"$BINARY" "$COMMAND" "${flags[@]}" "${paths[@]}"
code=$?
"$BINARY" "$COMMAND" -o "$format" "${paths[@]}" > "$report" 2> /dev/null || true
[ -s "$report" ] && [ -n "${GITHUB_OUTPUT:-}" ] && echo "report=$report" >> "$GITHUB_OUTPUT"
exit "$code"
