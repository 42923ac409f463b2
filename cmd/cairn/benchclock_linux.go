package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleep sleeps more exactly than time.Sleep, which waits whole milliseconds
// when nothing else runs.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&t, nil) //nolint:errcheck // woken early: the caller looks at the clock
}

// threadTime returns the processor time of this thread.
func threadTime() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

// ownTime returns the processor time of this process.
func ownTime() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(id, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
