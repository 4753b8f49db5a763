#!/bin/sh
# Certificates for the broker of a small site: an authority of its own, the broker, and one for every client.
#
#   make_certificates.sh FOLDER broker NAME...   the authority, made at the first call, and the broker's certificate for
#                                                every host name and address by which clients reach it
#   make_certificates.sh FOLDER client USER      a client's certificate; USER as in the ACL: coldchain-service, basel/gw-1
#   make_certificates.sh FOLDER revoke USER      no longer accepted once the broker has the new crl.pem and is restarted
#
# FOLDER gets ca.pem, crl.pem, broker.pem, broker.key, clients/USER.pem, clients/USER.key, and authority/, which holds the
# authority's key: keep that off the broker, and whoever has it can be every client. Nothing that exists is overwritten: to
# renew a certificate, remove its .pem and .key and call again.
#
# COLDCHAIN_DAYS: how long a certificate is valid; 825 without it. The authority and its list of revocations: ten years.
set -eu
umask 077

fail() { echo "make_certificates.sh: $1" >&2 && exit 2; }

[ $# -ge 3 ] || fail "FOLDER broker NAME... | FOLDER client USER | FOLDER revoke USER"
command -v openssl >/dev/null || fail "openssl is needed"
mkdir -p "$1"
folder=$(cd "$1" && pwd) task=$2
shift 2
days=${COLDCHAIN_DAYS:-825}
authority=$folder/authority
config=$authority/openssl.cnf

# openssl's chatter is shown only if it fails.
quietly() {
    if ! said=$("$@" 2>&1); then
        echo "$said" >&2
        fail "openssl failed"
    fi
}

make_authority() {
    [ ! -e "$authority/ca.key" ] || return 0
    mkdir -p "$authority/issued"
    : >"$authority/index.txt"
    echo 'unique_subject = no' >"$authority/index.txt.attr"
    cat >"$config" <<CONFIG
[ca]
default_ca = site
[site]
database = $authority/index.txt
new_certs_dir = $authority/issued
certificate = $folder/ca.pem
private_key = $authority/ca.key
crlnumber = $authority/crlnumber
rand_serial = yes
default_md = sha256
default_days = 825
default_crl_days = 3650
policy = named
copy_extensions = none
[named]
commonName = supplied
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
CONFIG
    echo 1000 >"$authority/crlnumber"
    quietly openssl ecparam -name prime256v1 -genkey -noout -out "$authority/ca.key"
    quietly openssl req -x509 -new -config "$config" -extensions authority -sha256 -days 3650 \
        -key "$authority/ca.key" -subj "/CN=coldchain site authority" -out "$folder/ca.pem"
    list_revocations
    chmod 644 "$folder/ca.pem"
}

list_revocations() {
    quietly openssl ca -config "$config" -gencrl -out "$folder/crl.pem"
    chmod 644 "$folder/crl.pem"
}

# sign FILE SUBJECT EXTENSIONS: FILE.key and FILE.pem
sign() {
    [ ! -e "$1.pem" ] || fail "$1.pem is there already; remove it and its key to renew it"
    mkdir -p "$(dirname "$1")"
    printf 'basicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\n%b%s\n' "$3\n" \
        'subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid' >"$1.ext"
    quietly openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
    quietly openssl req -new -config "$config" -key "$1.key" -subj "/CN=$2" -out "$1.csr"
    quietly openssl ca -batch -notext -config "$config" -days "$days" -extfile "$1.ext" -in "$1.csr" -out "$1.pem"
    rm -f "$1.csr" "$1.ext"
    chmod 644 "$1.pem"
    echo "$1.pem"
}

case $task in
broker)
    make_authority
    names=
    for name; do
        case $name in
        -* | *[!0-9A-Za-z.:-]*) fail "$name is neither a host name nor an address" ;;
        *:*) names="$names,IP:$name" ;;
        *[!0-9.]*) names="$names,DNS:$name" ;;
        *) names="$names,IP:$name" ;;
        esac
    done
    sign "$folder/broker" "coldchain broker" "extendedKeyUsage = serverAuth\nsubjectAltName = ${names#,}"
    ;;
client | revoke)
    [ $# -eq 1 ] || fail "one user at a time"
    [ -e "$authority/ca.key" ] || fail "$folder has no authority yet: make the broker's certificate first"
    case $1 in
    alerts | events | service | alerts/* | events/* | service/*) fail "no user may be called $1: its topics are the service's" ;;
    /* | */ | *//* | *[!a-z0-9/-]*) fail "$1 is no user: lower-case letters, digits, hyphens, a slash between site and gateway" ;;
    esac
    if [ "$task" = client ]; then
        sign "$folder/clients/$1" "$(printf %s "$1" | sed 's,/,\\/,g')" "extendedKeyUsage = clientAuth"
    else
        [ -e "$folder/clients/$1.pem" ] || fail "$folder/clients/$1.pem is not there"
        quietly openssl ca -config "$config" -revoke "$folder/clients/$1.pem"
        list_revocations
        echo "$1 is revoked: give the broker the new $folder/crl.pem and restart it"
    fi
    ;;
*) fail "$task is neither broker, client nor revoke" ;;
esac
