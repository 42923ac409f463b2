package entry

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"
)

// maxTimestamp is the most bytes that a timestamp response may have. It also
// bounds memory and time: there is no room for many signatures, nor for keys
// that take long.
const maxTimestamp = 10 * 1024

// verifyTimestamp checks that a DER timestamp response was granted, and that
// its signature is that of the certificate in it, whoever that belongs to.
// Bytes after the response are tolerated.
func verifyTimestamp(der []byte) error {
	if len(der) > maxTimestamp {
		return errors.New("tsr exceeds maximum allowed size (10kB)")
	}
	var r pkcs9.TimeStampResp
	if _, err := asn1.Unmarshal(der, &r); err != nil {
		return err
	}
	if s := r.Status.Status; s != pkcs9.StatusGranted && s != pkcs9.StatusGrantedWithMods {
		return fmt.Errorf("tsr status not granted: %v", s)
	}
	if t := r.TimeStampToken.ContentType; !t.Equal(pkcs7.OidSignedData) {
		return fmt.Errorf("tsr wrong content type: %v", t)
	}
	if _, err := r.TimeStampToken.Content.Verify(nil, false); err != nil {
		return fmt.Errorf("tsr verification error: %w", err)
	}
	return nil
}
