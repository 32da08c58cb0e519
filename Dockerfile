# The image holds one static binary and nothing else: no shell, no libc, no package manager.
# packaging/check.sh builds and starts it where buildah can run.
#
#   packaging/build.sh                       # the binary, static
#   buildah build -t caapc:dev .             # or: docker build -t caapc:dev .
FROM scratch
ARG BINARY=target/x86_64-unknown-linux-gnu/release/caapc
COPY ${BINARY} /caapc
# Numeric, so that `runAsNonRoot` can be verified without a passwd file.
USER 65532:65532
EXPOSE 8080 9443
ENTRYPOINT ["/caapc"]
CMD ["serve"]
