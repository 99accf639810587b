package wire

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// SignIn begins sign-in by SASL mechanisms.
type SignIn interface {
	// Mechanisms lists what is offered.
	Mechanisms() []string
	// Begin starts an exchange; the mechanism is one of those offered.
	Begin(mechanism string) Exchange
}

// Exchange is one client's sign-in.
type Exchange interface {
	// Step takes what the client said and returns what to answer. After done
	// the user is signed in. An error ends the exchange; it must not tell what
	// was wrong.
	Step(in []byte) (out []byte, user string, done bool, err error)
}

var errSignIn = errors.New("sign-in failed")

func saslHandshake(r request, req *kmsg.SASLHandshakeRequest) reply {
	resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
	if r.server.cfg.SignIn == nil || r.signedIn {
		resp.ErrorCode = code.IllegalSASLState
		return answered(resp)
	}
	resp.SupportedMechanisms = r.server.cfg.SignIn.Mechanisms()
	resp.ErrorCode = code.UnsupportedMechanism
	// Version 0 goes on without frames of Kafka's; no client of this century
	// needs that.
	for _, m := range resp.SupportedMechanisms {
		if m == req.Mechanism && req.Version >= 1 {
			r.sasl = r.server.cfg.SignIn.Begin(m)
			resp.ErrorCode = code.None
		}
	}
	return answered(resp)
}

func saslAuthenticate(r request, req *kmsg.SASLAuthenticateRequest) reply {
	resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
	if r.sasl == nil {
		resp.ErrorCode = code.IllegalSASLState
		return answered(resp)
	}
	out, user, done, err := r.sasl.Step(req.SASLAuthBytes)
	if err != nil {
		r.sasl = nil
		r.server.cfg.Metrics.SignInFailed()
		r.server.cfg.Log.Warn("sign-in refused", "peer", r.host)
		resp.ErrorCode, resp.ErrorMessage = code.SASLAuthentication, new(errSignIn.Error())
		return answered(resp)
	}
	resp.SASLAuthBytes = out
	if done {
		r.conn.sasl = nil
		r.enter(user)
	}
	return answered(resp)
}
