package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// SSHFingerprint returns the fingerprint that OpenSSH shows of the key, such
// as "SHA256:…", or "" if the type of key has no form in SSH. Some DSSE
// signatures use it as key id.
func (k *X509) SSHFingerprint() string {
	pub, err := ssh.NewPublicKey(k.key)
	if err != nil {
		return ""
	}
	return ssh.FingerprintSHA256(pub)
}

// An SSH is a public key or certificate as a line of an authorized_keys file.
type SSH struct {
	key     ssh.PublicKey
	comment string
}

// ParseSSH reads the first key of an authorized_keys file of 64 KiB at most.
// Options are ignored.
func ParseSSH(text []byte) (*SSH, error) {
	if err := checkText("SSH public key", text); err != nil {
		return nil, fmt.Errorf("http: request body too large: %w", err)
	}
	key, comment, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, err
	}
	k := &SSH{key, comment}
	if pub, err := k.public(); err == nil {
		return k, checkSize(pub)
	}
	return k, nil
}

// Canonical returns the line without options and comment, with a newline.
func (k *SSH) Canonical() []byte { return ssh.MarshalAuthorizedKey(k.key) }

// Subjects returns the comment if it is an e-mail address. The canonical form
// has none.
func (k *SSH) Subjects() []string {
	if isEmail(k.comment) {
		return []string{k.comment}
	}
	return nil
}

// Identities returns the key; of a certificate, the key that it is about, with
// the fingerprint of the certificate.
func (k *SSH) Identities() []Identity {
	pub, err := k.public()
	if err != nil {
		return nil
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil // DSA
	}
	return []Identity{{Type: fmt.Sprintf("%T", k.key), Raw: der, Fingerprint: ssh.FingerprintSHA256(k.key)}}
}

// public returns the key as the crypto packages have it.
func (k *SSH) public() (crypto.PublicKey, error) {
	key := k.key
	if c, ok := key.(*ssh.Certificate); ok {
		key = c.Key
	}
	if c, ok := key.(ssh.CryptoPublicKey); ok {
		return c.CryptoPublicKey(), nil
	}
	// Keys of security tokens, openssh PROTOCOL.u2f: their type, the key, the
	// application.
	switch key.Type() {
	case ssh.KeyAlgoSKECDSA256:
		var w struct {
			Type, Curve string
			Key         []byte
			Rest        []byte `ssh:"rest"`
		}
		if err := ssh.Unmarshal(key.Marshal(), &w); err != nil {
			return nil, err
		}
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), w.Key)
	case ssh.KeyAlgoSKED25519:
		var w struct {
			Type string
			Key  []byte
			Rest []byte `ssh:"rest"`
		}
		if err := ssh.Unmarshal(key.Marshal(), &w); err != nil {
			return nil, err
		}
		return ed25519.PublicKey(w.Key), nil
	}
	return nil, fmt.Errorf("unsupported type of SSH key %s", key.Type())
}

// VerifyDetached checks a signature by ssh-keygen -Y sign -n file. The stored
// form says that the message was hashed with SHA-512, and is what is checked:
// a signature over SHA-256, which ssh-keygen does not make by itself, fails.
func (k *SSH) VerifyDetached(message, signature []byte) ([]byte, error) {
	s, err := parseSSHSignature(signature)
	if err != nil {
		return nil, err
	}
	sum := sha512.Sum512(message)
	signed := ssh.Marshal(struct {
		Magic                             [6]byte
		Namespace, Reserved, Hash, Digest string
	}{sshMagic, sshNamespace, "", sshHash, string(sum[:])})
	if err := k.key.Verify(signed, &s.signature); err != nil {
		if s.hash != sshHash {
			err = fmt.Errorf("%w (hash algorithm %s, must be %s)", err, s.hash, sshHash)
		}
		return nil, err
	}
	return s.canonical(), nil
}

const (
	sshPEM       = "SSH SIGNATURE"
	sshNamespace = "file"
	sshHash      = "sha512"
)

var sshMagic = [6]byte([]byte("SSHSIG"))

// An sshBlob is what a signature file holds, openssh PROTOCOL.sshsig.
type sshBlob struct {
	Magic     [6]byte
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

type sshSignature struct {
	signature ssh.Signature
	key       ssh.PublicKey // as the signature says
	hash      string
}

func parseSSHSignature(text []byte) (*sshSignature, error) {
	if err := checkText("SSH signature", text); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("unable to decode pem file")
	}
	if block.Type != sshPEM {
		return nil, fmt.Errorf("wrong pem block type: %s. Expected SSH-SIGNATURE", block.Type)
	}
	var b sshBlob
	if err := ssh.Unmarshal(block.Bytes, &b); err != nil {
		return nil, err
	}
	switch {
	case b.Version != 1:
		return nil, fmt.Errorf("unsupported signature version: %d", b.Version)
	case b.Magic != sshMagic:
		return nil, fmt.Errorf("invalid magic header: %s", b.Magic[:])
	case b.Namespace != sshNamespace:
		return nil, fmt.Errorf("invalid signature namespace: %s", b.Namespace)
	case b.Hash != sshHash && b.Hash != "sha256":
		return nil, fmt.Errorf("unsupported hash algorithm: %s", b.Hash)
	}
	s := &sshSignature{hash: b.Hash}
	if err := ssh.Unmarshal(b.Signature, &s.signature); err != nil {
		return nil, err
	}
	var err error
	s.key, err = ssh.ParsePublicKey(b.PublicKey)
	return s, err
}

// canonical returns the signature in PEM, made with SHA-512.
func (s *sshSignature) canonical() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: sshPEM, Bytes: ssh.Marshal(sshBlob{
		Magic:     sshMagic,
		Version:   1,
		PublicKey: s.key.Marshal(),
		Namespace: sshNamespace,
		Hash:      sshHash,
		Signature: ssh.Marshal(s.signature),
	})})
}
