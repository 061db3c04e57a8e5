// Command protogen generates the Go code of the plugin protocol from
// handler.proto, without protoc: the compiler and both generators are pinned in
// this module.
//
//	go -C tools run ./protogen          write the generated files
//	go -C tools run ./protogen -check   exit 1 when they are not current
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	protoDir  = "../pluginapi/handlerpb" // seen from the module that holds this command
	protoFile = "handler.proto"
)

var errStale = errors.New("generated code is not current; run: go -C tools run ./protogen")

func main() {
	check := flag.Bool("check", false, "write nothing; exit 1 when the generated code is not current")
	flag.Parse()
	if err := run(context.Background(), *check); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, check bool) error {
	file, err := compile(ctx)
	if err != nil {
		return err
	}
	var stale []error
	for _, generator := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		files, err := generate(ctx, generator, file)
		if err != nil {
			return err
		}
		for _, f := range files {
			path := filepath.Join(protoDir, f.GetName())
			if !check {
				if err := os.WriteFile(path, []byte(f.GetContent()), 0o644); err != nil {
					return err
				}
				continue
			}
			if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, []byte(f.GetContent())) {
				stale = append(stale, fmt.Errorf("%s: %w", f.GetName(), errStale))
			}
		}
	}
	return errors.Join(stale...)
}

// compile parses handler.proto with its comments, which the generators copy.
func compile(ctx context.Context) (*descriptorpb.FileDescriptorProto, error) {
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: []string{protoDir}},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(ctx, protoFile)
	if err != nil {
		return nil, err
	}
	return protoutil.ProtoFromFileDescriptor(files[0]), nil
}

// generate runs one pinned code generator over the file.
func generate(ctx context.Context, generator string, file *descriptorpb.FileDescriptorProto) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{protoFile},
		Parameter:      proto.String("paths=source_relative"),
		ProtoFile:      []*descriptorpb.FileDescriptorProto{file},
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", generator)
	cmd.Stdin = bytes.NewReader(request)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", generator, err)
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		return nil, fmt.Errorf("%s: %w", generator, err)
	}
	if response.Error != nil {
		return nil, fmt.Errorf("%s: %s", generator, response.GetError())
	}
	return response.File, nil
}
