set -e
printf 123456789 > input
line=$($program/bin/checksum input)
case $line in
  *"$check"*) ;;
  *) echo "wrong checksum: $line, expected $check" >&2; exit 1 ;;
esac
{
  echo "$line"
  cd $source
  $program/bin/checksum *
} > $out
