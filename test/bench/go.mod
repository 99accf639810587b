module github.com/decodersring/decoder/test/bench

go 1.26.5

require github.com/decodersring/decoder v0.0.0

replace github.com/decodersring/decoder => ../..
