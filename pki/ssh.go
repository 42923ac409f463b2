package pki

import "golang.org/x/crypto/ssh"

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
