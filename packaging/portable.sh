# For scripts to source: how programs are built that hold no path of this machine and nothing that they do not use.
#
#     scratch=…                        # a folder for the time of the script
#     source packaging/portable.sh     # in the repository's root
#     go build "${flags[@]}" -o PROGRAM ./cmd/finetune
#     check_paths PROGRAM

# Where libtorch is stands in the flags of what compiles C++: as an rpath, and in the asserts of its headers. The first is
# left out by an overlay, the second mapped away. Sections let the linker drop the operations that are never called. Go's
# cache keeps what is compiled this way beside the usual.
gotch=$(go list -f '{{.Dir}}' github.com/sugarme/gotch/libtch)
libtorch=$(go list -f '{{join .CgoLDFLAGS "\n"}}' github.com/sugarme/gotch/libtch | sed -n 's/^-L//p' | head -1)
number=0 replaced=
while IFS= read -r file; do
  if grep -q -- '-Wl,-rpath,' "$file"; then
    number=$((number + 1))
    sed -E 's/"-Wl,-rpath,[^"]*"//; s/-Wl,-rpath,[^ ]+//' "$file" >"$scratch/$number.go"
    replaced+="${replaced:+, }\"$file\": \"$scratch/$number.go\""
  fi
done < <(go list -deps -test -f '{{$dir := .Dir}}{{range .CgoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}' ./cmd/finetune ./pkg/... | sort -u | grep .)
echo "{\"Replace\": {$replaced}}" >"$scratch/overlay.json"
export CGO_CFLAGS="-O2 -ffunction-sections -fdata-sections"
export CGO_CXXFLAGS="$CGO_CFLAGS '-ffile-prefix-map=${libtorch%/lib}=libtorch' '-ffile-prefix-map=$gotch=gotch' '-ffile-prefix-map=$PWD=metatt'"
flags=(-trimpath -buildvcs=false -overlay "$scratch/overlay.json" -ldflags "-s -w -extldflags=-Wl,--gc-sections")

# check_paths PROGRAM: fails where it names a folder of this machine.
check_paths() {
  local path
  for path in "$PWD/" "$libtorch" "$HOME/"; do
    ! LC_ALL=C grep -aFo -m 1 -e "$path" "$1" || { echo "$(basename "$1") has a path of this machine" >&2; return 1; }
  done
}
