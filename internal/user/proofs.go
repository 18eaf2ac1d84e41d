package user

import (
	"context"
	"fmt"
)

// OwnProofs are the credentials that this service keeps, as Proofs.
func (s *Service) OwnProofs() Proofs { return ownProofs{s} }

type ownProofs struct{ users *Service }

// Available names the credentials of an account; a passkey only where this service
// takes any.
func (p ownProofs) Available(ctx context.Context, userID string) (names []string, err error) {
	var password, app, key bool
	var codes int
	if password, _, err = p.users.HasPassword(ctx, userID); err != nil {
		return nil, err
	}
	if app, _, err = p.users.HasTOTP(ctx, userID); err != nil {
		return nil, err
	}
	if codes, err = p.users.RecoveryCodesLeft(ctx, userID); err != nil {
		return nil, err
	}
	if p.users.HasPasskeys() {
		keys, err := p.users.Passkeys(ctx, userID)
		if err != nil {
			return nil, err
		}
		key = len(keys) > 0
	}
	for _, one := range []struct {
		name string
		has  bool
	}{{proofPassword, password}, {proofTOTP, app}, {proofRecovery, codes > 0}, {proofPasskey, key}} {
		if one.has {
			names = append(names, one.name)
		}
	}
	return names, nil
}

// Check takes what was typed.
func (p ownProofs) Check(ctx context.Context, userID, name, typed string) error {
	switch name {
	case proofPassword:
		return p.users.CheckPassword(ctx, userID, typed)
	case proofTOTP:
		return p.users.CheckTOTP(ctx, userID, typed)
	case proofRecovery:
		return p.users.UseRecoveryCode(ctx, userID, typed)
	}
	return fmt.Errorf("nothing is typed as a proof by %s", name)
}
