package machine

import (
	"math"
	"time"
)

// forecast says when a disk is full, from how its use has grown.
type forecast struct {
	points []point
}

type point struct {
	at   time.Time
	used float64
}

const (
	span     = time.Hour        // of the past that counts
	least    = 10 * time.Minute // of it, before anything is said
	maxPoint = 512
	never    = time.Duration(math.MaxInt64)
)

func (f *forecast) add(at time.Time, used int64) {
	for len(f.points) > 0 && (at.Sub(f.points[0].at) > span || len(f.points) >= maxPoint) {
		f.points = f.points[1:]
	}
	f.points = append(f.points, point{at, float64(used)})
}

// full returns the time until so many bytes more are used, at the rate of the
// past hour: the slope of the line with the least squares, so that a cleaning
// in between weighs as much as what was written. never if it does not grow.
func (f *forecast) full(left int64) time.Duration {
	if left <= 0 {
		return 0
	}
	n := float64(len(f.points))
	if n < 3 || f.points[len(f.points)-1].at.Sub(f.points[0].at) < least {
		return never
	}
	var sumX, sumY, sumXX, sumXY float64
	for _, p := range f.points {
		x, y := p.at.Sub(f.points[0].at).Seconds(), p.used-f.points[0].used
		sumX, sumY, sumXX, sumXY = sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	rate := (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
	seconds := float64(left) / rate
	if rate <= 0 || math.IsNaN(seconds) || seconds > (5*365*24*time.Hour).Seconds() {
		return never
	}
	return time.Duration(seconds * float64(time.Second))
}
