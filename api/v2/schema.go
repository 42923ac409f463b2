package v2

import (
	"fmt"

	_ "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1" // registers sigstore_common.proto
	_ "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"      // registers envelope.proto
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// requestDescriptor describes CreateEntryRequest. The types of Rekor's
// requests are published as Go code only together with its gRPC service, which
// would make our program half as large again; what the JSON form depends on
// is here in their place.
func requestDescriptor() (protoreflect.MessageDescriptor, error) {
	const (
		rekor  = ".dev.sigstore.rekor.v2."
		common = ".dev.sigstore.common.v1."
	)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:       proto.String("rekor/v2/cairn.proto"),
		Package:    proto.String("dev.sigstore.rekor.v2"),
		Syntax:     proto.String("proto3"),
		Dependency: []string{"sigstore_common.proto", "envelope.proto"},
		MessageType: []*descriptorpb.DescriptorProto{
			message("CreateEntryRequest", "spec",
				field{name: "hashed_rekord_request_v002", message: rekor + "HashedRekordRequestV002", oneof: true},
				field{name: "dsse_request_v002", message: rekor + "DSSERequestV002", oneof: true}),
			message("HashedRekordRequestV002", "",
				field{name: "digest"},
				field{name: "signature", message: rekor + "Signature"}),
			message("DSSERequestV002", "",
				field{name: "envelope", message: ".io.intoto.Envelope"},
				field{name: "verifiers", message: rekor + "Verifier", repeated: true}),
			message("Signature", "",
				field{name: "content"},
				field{name: "verifier", message: rekor + "Verifier"}),
			message("Verifier", "verifier",
				field{name: "public_key", message: rekor + "PublicKey", oneof: true},
				field{name: "x509_certificate", message: common + "X509Certificate", oneof: true},
				field{name: "key_details", enum: common + "PublicKeyDetails"}),
			message("PublicKey", "",
				field{name: "raw_bytes"}),
		},
	}, protoregistry.GlobalFiles)
	if err != nil {
		return nil, fmt.Errorf("describe requests of Rekor v2: %w", err)
	}
	return file.Messages().ByName("CreateEntryRequest"), nil
}

// A field of a message is bytes, unless it has a type.
type field struct {
	name     string
	message  string
	enum     string
	repeated bool
	oneof    bool
}

// message describes a message whose fields are numbered in their order. oneof
// is the name of its one union, if it has one.
func message(name, oneof string, fields ...field) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: proto.String(name)}
	if oneof != "" {
		m.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String(oneof)}}
	}
	for i, f := range fields {
		d := &descriptorpb.FieldDescriptorProto{
			Name:   proto.String(f.name),
			Number: proto.Int32(int32(i + 1)),
			Label:  descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			Type:   descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum(),
		}
		switch {
		case f.message != "":
			d.Type, d.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String(f.message)
		case f.enum != "":
			d.Type, d.TypeName = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum(), proto.String(f.enum)
		}
		if f.repeated {
			d.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		if f.oneof {
			d.OneofIndex = proto.Int32(0)
		}
		m.Field = append(m.Field, d)
	}
	return m
}
