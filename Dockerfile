# A static binary and nothing else.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/cairn ./cmd/cairn \
	&& mkdir -m 0700 /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/cairn /cairn
# A volume that is mounted here for the first time belongs to the user below.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV CAIRN_DATA=/data \
	CAIRN_LISTEN=0.0.0.0:3000 \
	CAIRN_METRICS_LISTEN=0.0.0.0:2112
VOLUME /data
EXPOSE 3000 2112
HEALTHCHECK --interval=10s --timeout=20s --start-period=30s CMD ["/cairn", "health"]
ENTRYPOINT ["/cairn"]
CMD ["serve"]
