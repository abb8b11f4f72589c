# Sourced by scripts that need a validator full of submissions: serves `validator/examples/gallery`, the real service with a
# scripted engine, and sets `address`. RETORT_GALLERY names the folder in which it is kept between runs, RETORT_PROFILE the
# profile that it is built with (dev). It ends with the script that sources it.
gallery="${RETORT_GALLERY:-${XDG_CACHE_HOME:-$HOME/.cache}/retort-gallery}"
run=(cargo run --quiet --locked --profile "${RETORT_PROFILE:-dev}" -p validator --example gallery --)
if [ ! -f "$gallery/complete" ]; then
  rm -rf "$gallery"
  mkdir -p "$gallery"
  "${run[@]}" fill "$gallery"
  touch "$gallery/complete"
fi
rm -f "$gallery/address"
# cargo becomes the program, so its number is the program's.
"${run[@]}" serve "$gallery" > /dev/null &
service=$!
trap 'kill -TERM "$service" 2>/dev/null; wait "$service" 2>/dev/null || true' EXIT
for _ in $(seq 600); do [ -f "$gallery/address" ] && break; sleep 0.2; done
address="$(cat "$gallery/address")"
