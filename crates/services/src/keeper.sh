# Runs a service for a test and ends it with the test: see keeper.rs.
# $1 the service's folder, $2 the signal that ends it, $3 a lock that its users share or "", then the command.
folder=$1 signal=$2 lock=$3
shift 3
trap '' HUP INT TERM
"$@" </dev/null >&2 3<&- &
child=$!
echo "$child"
exec >/dev/null

word=
if [ -n "$lock" ]; then
    idle=0
    while [ "$idle" -lt 10 ]; do
        sleep 1
        kill -0 "$child" 2>/dev/null || break
        # Held from here on only when it was enough; whoever comes meanwhile waits for the end and starts another one.
        exec 9>>"$lock"
        if flock --exclusive --nonblock 9; then idle=$((idle + 1)); else idle=0; fi
        if [ "$idle" -lt 10 ]; then exec 9>&-; fi
    done
else
    read -r word <&3
fi

kill -s CONT "$child" 2>/dev/null
kill -s "${word:-$signal}" "$child" 2>/dev/null
waited=0
while kill -0 "$child" 2>/dev/null && [ "$waited" -lt 200 ]; do
    sleep 0.05
    waited=$((waited + 1))
done
kill -s KILL "$child" 2>/dev/null
wait "$child"
if [ -z "$word" ]; then rm -rf "$folder"; fi
