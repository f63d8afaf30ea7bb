# For the `prepare` of a folder with tests in JavaScript, which is the folder that it is in: node 20 or later, npm and the
# packages of package-lock.json. Programs that are missing are installed where that is allowed (as root on Debian).

wanted=()
missing=()

# Installs the Debian packages of what is wanted, as far as that is possible.
install_wanted() {
    command -v node >/dev/null || wanted+=(nodejs)
    command -v npm >/dev/null || wanted+=(npm)
    if ((${#wanted[@]})) && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        { apt-get update -qq && apt-get install -y -qq "${wanted[@]}"; } >/dev/null 2>&1
    fi
}

# Ends with what is missing on one line, and 1; or with the folder's packages in their place.
have_packages() {
    if command -v node >/dev/null; then
        (($(node -p 'parseInt(process.versions.node)') >= 20)) || missing+=("node 20 or later")
    else
        missing+=("node 20 or later")
    fi
    command -v npm >/dev/null || missing+=("npm")
    if ((${#missing[@]} == 0)) && [[ ! node_modules/.package-lock.json -nt package-lock.json ]]; then
        if npm ci --silent --no-audit --no-fund >&2; then
            touch node_modules/.package-lock.json
        else
            missing+=("the packages of ${PWD##*/}/package-lock.json: npm ci")
        fi
    fi
    if ((${#missing[@]})); then
        printf '%s; ' "${missing[@]}"
        exit 1
    fi
}
