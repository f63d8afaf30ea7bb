# A server in an image of its own: built here, run without root, a shell or a package manager.
#   docker build -t millpond .
#   docker run -p 127.0.0.1:8090:8090 -v millpond:/data millpond
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Dependencies stay in caches between builds; the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist \
    && cp target/dist/millpond /millpond \
    && mkdir /empty

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /millpond /millpond
COPY --from=build --chown=nonroot:nonroot /empty /data
ENV MILLPOND_DATA=/data MILLPOND_LISTEN=0.0.0.0:8090
VOLUME /data
EXPOSE 8090
USER nonroot
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/millpond", "ready"]
ENTRYPOINT ["/millpond"]
CMD ["serve"]
