//go:build !linux

package main

import "time"

func sleep(d time.Duration) { time.Sleep(d) }

// threadTime stands in for processor time with the time of day: the yardstick
// is right on a machine that does nothing else.
func threadTime() time.Duration { return time.Duration(time.Now().UnixNano()) }

func ownTime() time.Duration { return 0 }
