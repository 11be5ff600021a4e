//! Words of other tools, cargo's, docker's, ko's, skopeo's and cosign's, and what is written here instead.

/// Words, and the tip.
const FOREIGN: [(&[&str], &str); 34] = [
    (&["--debug", "--dev"], "'--profile dev' builds without optimisation"),
    (&["--user"], "'user' is a key of [package.metadata.plugin-build]"),
    (&["--env", "-e"], "'env' is a key of [package.metadata.plugin-build]"),
    (&["--entrypoint"], "'entrypoint' is a key of [package.metadata.plugin-build]"),
    (&["--workdir", "-w"], "'workdir' is a key of [package.metadata.plugin-build]"),
    (&["--image-label", "--labels"], "'build --label KEY=VALUE', or the key 'labels' of [package.metadata.plugin-build]"),
    (&["--image-annotation", "--annotations"], "'build --annotation KEY=VALUE', or the key of that name"),
    (&["--image-user"], "'user' is a key of [package.metadata.plugin-build]"),
    (&["--expose"], "'ports' is a key of [package.metadata.plugin-build]"),
    (&["--base-image", "--from"], "'build --base IMAGE', or the key 'base' of [package.metadata.plugin-build]"),
    (&["--sbom", "--sbom-dir"], "'build --sbom FORMAT' attaches one, and 'attach' one that another tool has made"),
    (&["--file", "-f"], "there is no Dockerfile; '--manifest-path' names a Cargo.toml"),
    (&["--load", "--local", "--tarball", "save", "export"], "'copy IMAGE docker-archive:FILE' writes what 'docker load' reads"),
    (&["--build-arg", "--build-context"], "features and the environment of cargo say what is built"),
    (&["--secret", "--ssh"], "nothing secret comes into a build; '--hermetic' keeps it out of reach"),
    (&["--no-cache", "--pull"], "what did not change gives the same bytes; 'cargo clean' forgets everything"),
    (&["--cache-from", "--cache-to", "--squash"], "the layout is the cache: what is there is not made again"),
    (&["--network"], "'--hermetic' builds without a network, '--offline' asks cargo for nothing"),
    (&["--progress"], "'-q' says less, '-v' more, '--message-format json-progress' tells programs"),
    (&["--no-push"], "nothing is pushed without '--push' or 'push'"),
    (
        &["--bare", "--base-import-paths", "--preserve-import-paths", "-B", "-P"],
        "'--push HOST/REPO' takes the name as it is, '--push HOST/PREFIX/' adds the package's",
    ),
    (&["--target-platform", "--arch", "--override-arch", "--override-os"], "'--platform linux/arm64'"),
    (
        &[
            "--insecure",
            "--tls-verify",
            "--src-tls-verify",
            "--dest-tls-verify",
            "--allow-insecure-registry",
            "--insecure-registry",
        ],
        "'--plain-http HOST' reaches a registry without encryption, '--tls-ca FILE' one with its own authority",
    ),
    (
        &["--creds", "--src-creds", "--dest-creds", "--password"],
        "'login HOST' keeps credentials, '--authfile FILE' names a file of them",
    ),
    (&["--all-tags"], "'copy --all' takes every tag"),
    (&["--raw", "--config"], "'inspect --message-format json' has manifests and configurations"),
    (
        &["--yes", "--tlog-upload", "--insecure-ignore-tlog", "--rekor-url"],
        "keys of your own are in no public log: nothing is asked, and nothing sent there",
    ),
    (
        &["--certificate-identity", "--certificate-oidc-issuer", "--certificate-identity-regexp"],
        "signatures are checked by keys: '--key FILE' or '--policy FILE'",
    ),
    (&["--rm", "-i", "-t", "--tty", "--interactive", "--detach", "-d"], "'run' starts the program as it is, in no container"),
    (&["--volume", "--mount", "--publish"], "'run' starts the program as it is, in no container"),
    (&["images", "list"], "'ls' lists a layout, an archive or a repository"),
    (&["tag", "retag"], "'push -t TAG IMAGE HOST/REPO', or 'copy IMAGE NEW', sets a tag"),
    (&["rmi", "delete", "remove"], "'rm' removes an image, 'gc' what nothing names"),
    (&["load", "import"], "'copy oci-archive:FILE oci:DIR' reads an archive; 'ls FILE' too"),
];

/// What is written here instead of a word that another tool knows.
pub fn tip(word: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(words, _)| words.contains(&word)).map(|(_, tip)| *tip)
}
