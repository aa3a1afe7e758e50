// SPDX-License-Identifier: GPL-3.0-or-later
// make_seeds FOLDER: writes small valid files for each fuzz target, FOLDER/<target>/<name>.
#include "core/study/record_codec.h"
#include "tests/support/onnx_file.h"
#include "tests/support/synthetic_study.h"
#include "tests/support/tflite_file.h"
#include "tests/support/torch_files.h"

#include <filesystem>
#include <fstream>
#include <iostream>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

std::filesystem::path target;

void seed(const std::string& fuzzTarget, const std::string& name, std::string_view content)
{
    std::filesystem::create_directories(target / fuzzTarget);
    std::ofstream(target / fuzzTarget / name, std::ios::binary)
        .write(content.data(), static_cast<std::streamsize>(content.size()));
}

void safetensors()
{
    seed("safetensors", "plain",
        safetensorsFile(
            R"({"__metadata__":{"format":"pt"},"h.0.attn.c_attn.weight":{"dtype":"F32","shape":[2,6],"data_offsets":[0,48]},)"
            R"("x.conv.weight":{"dtype":"BF16","shape":[2,2,2],"data_offsets":[48,64]},"n":{"dtype":"F4","shape":[2,2],"data_offsets":[64,66]}})",
            66));
    seed("shard_index", "two",
        R"({"metadata":{"total_size":4},"weight_map":{"w":"a.safetensors","v":"b.safetensors"}})");
}

void gguf()
{
    const auto list = raw(std::uint32_t {8}) + raw(std::uint64_t {2}) + ggufText("<s>") + ggufText("</s>");
    seed("gguf", "plain",
        GgufBuilder()
            .text("general.architecture", "llama")
            .u32("llama.block_count", 1)
            .key("tokenizer.ggml.tokens", 9, list)
            .key("flag", 7, raw(std::uint8_t {1}))
            .tensor("token_embd.weight", {32, 2}, 8, 68)
            .tensor("blk.0.attn_q.weight", {4, 4}, 1, 32)
            .file());
    seed("gguf", "shard",
        GgufBuilder()
            .key("split.no", 2, raw(std::uint16_t {0}))
            .key("split.count", 2, raw(std::uint16_t {1}))
            .key("split.tensors.count", 5, raw(std::int32_t {1}))
            .tensor("token_embd.weight", {4, 4}, 0, 64)
            .file());
}

void onnx()
{
    const std::string sixteen(16, '\x53');
    OnnxBuilder plain;
    plain.tensor("w", 1, {2, 3}, std::vector<float> {1, 2, 3, 4, 5, 6})
        .tensor(onnxTensor("typed", 3, {3}, bytes(5, varint(1) + varint(2) + varint(3))))
        .tensor(onnxTensor("kernel", 10, {2, 1, 2}, bytes(9, std::string(8, '\x3c'))))
        .tensor(externalTensor("outside", 1, {2}, "weights.bin"))
        .node("Transpose", {"w"}, "t", attribute("perm", std::vector<std::int64_t> {1, 0}))
        .node("MatMul", {"x", "t"}, "y", {}, "/model/layers.0/mlp/up_proj/MatMul")
        .node("ConvTranspose", {"y", "kernel"}, "z", attribute("group", 2));
    seed("onnx", "plain", plain.file());
    OnnxBuilder quantized;
    quantized.tensor(onnxTensor("w", 22, {4, 8}, bytes(9, sixteen)))
        .tensor("s", 1, {4, 2}, std::vector<float>(8, 0.5F))
        .tensor(onnxTensor("z", 22, {4, 2}, bytes(9, "abcd")))
        .node("DequantizeLinear", {"w", "s", "z"}, "d", attribute("axis", 1) + attribute("block_size", 4))
        .node("Gemm", {"x", "d"}, "y", attribute("transB", 1))
        .tensor(onnxTensor("b", 2, {2, 1, 8}, bytes(9, sixteen)))
        .tensor("bs", 1, {2}, std::vector<float> {1, 2})
        .tensor(onnxTensor("bz", 2, {2}, bytes(9, "ab")))
        .node("MatMulNBits", {"y", "b", "bs", "bz"}, "u",
            attribute("K", 16) + attribute("N", 2) + attribute("bits", 4) + attribute("block_size", 16), "n",
            "com.microsoft");
    seed("onnx", "quantized", quantized.file());
    OnnxBuilder contrib, inner;
    inner.node("Constant", {}, "c",
        bytes(5, bytes(1, "value") + bytes(5, onnxTensor("", 1, {1}, bytes(4, raw(1.0F)))) + number(20, 4)));
    contrib.tensor(onnxTensor("b", 2, {16}, bytes(9, sixteen)))
        .tensor("bs", 1, {2}, std::vector<float> {1, 2})
        .node("MatMulBnb4", {"x", "b", "bs"}, "y",
            attribute("K", 16) + attribute("N", 2) + attribute("block_size", 16) + attribute("quant_type", 1), "n",
            "com.microsoft")
        .tensor(onnxTensor("e", 2, {2, 8}, bytes(9, sixteen)))
        .tensor("es", 1, {2, 1}, std::vector<float> {1, 2})
        .node("GatherBlockQuantized", {"e", "i", "es"}, "g", attribute("block_size", 16), "n", "com.microsoft")
        .node("If", {"cond"}, "z", bytes(5, bytes(1, "then_branch") + bytes(6, inner.graph)), "If_1");
    seed("onnx", "contrib", contrib.file());
}

void tflite()
{
    seed("tflite", "plain", TfliteFile().bytes());
    seed("tflite", "channels", TfliteFile {.scales = {0.5F, 2.0F}, .zeroPoints = {}, .code = 3}.bytes());
}

void pytorch()
{
    using namespace pickle;
    const TorchBuilder made {.object = dictionary({{"model.layers.0.self_attn.q_proj.weight",
                                                       tensor(storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1})},
                                 {"turned", tensor(storage("FloatStorage", "0", 6), 1, {2, 2}, {1, 2})}}),
        .storages = {{"0", std::string(24, '\x3c')}}};
    seed("pytorch", "zip", made.archive().file());
    seed("pytorch", "stream", made.stream(4));
}

/// Version 1.0 of the format.
std::string npyArray(const std::string& type, const std::string& shape, const std::string& elements)
{
    auto header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
    header.append(53, ' ').append("\n");
    return std::string("\x93NUMPY\1\0", 8) + raw(static_cast<std::uint16_t>(header.size())) + header + elements;
}

void numpy()
{
    const auto floats = npyArray("<f4", "(2, 3)", std::string(24, '\x3c'));
    seed("npy", "floats", floats);
    seed("npy", "big", npyArray(">f2", "(3,)", std::string(6, '\x3c')));
    ZipBuilder stored, packed;
    stored.store("w.npy", floats);
    packed.deflate("w.npy", floats);
    seed("npz", "stored", stored.file());
    seed("npz", "deflated", packed.file());
}

/// One block, 4 wide, 8 words: version 0 and, with its magic, version 1.
void llama2c()
{
    std::string sizes;
    for (const std::int32_t size : {4, 8, 1, 2, 2, 8, 4})
        sizes += raw(size);
    constexpr std::size_t embeddings = 32, norms = 12, attention = 4 * 16, feedForward = 3 * 32, rotary = 2 * 4;
    const auto weights = [](std::size_t count) { return std::string(4 * count, '\x3c'); };
    seed("llama2c", "zero", sizes + weights(embeddings + norms + attention + feedForward + rotary));
    auto head = raw(std::uint32_t {0x616B3432}) + raw(std::int32_t {1}) + sizes + '\1';
    head.resize(256);
    seed("llama2c", "one", head + weights(embeddings + norms + attention + feedForward));
}

void studies()
{
    const auto catalog = syntheticCatalog(1);
    const auto& tensor = catalog.tensors.front();
    seed("recipe", "uniform", Recipe::uniform(scheme("int4:g32:asym"), catalog).toJson());
    TensorMeasurement measurement;
    measurement.tensor = tensor.name;
    measurement.weights = syntheticWeights(tensor);
    measurement.schemes.push_back(syntheticMeasurement(tensor, measurement.weights, scheme("int4:g32")));
    const auto payload = encodeMeasurement(measurement);
    seed("measurement", "one", {reinterpret_cast<const char*>(payload.data()), payload.size()});
    const auto file = target / "study.h5";
    if (auto study = Study::open(file, catalog); study && (*study)->append(measurement)) {
        std::filesystem::create_directories(target / "journal");
        std::filesystem::copy_file(
            target / "study.h5.journal", target / "journal" / "one", std::filesystem::copy_options::overwrite_existing);
        seed("study", "start",
            std::string("Quantloupe study, HDF5 from byte 512 on, whose XXH3-128 is ") + std::string(32, '0') + "\n");
    }
    std::filesystem::remove(file);
}

}  // namespace

int main(int count, char** arguments)
{
    if (count != 2) {
        std::cerr << "make_seeds FOLDER\n";
        return 2;
    }
    target = arguments[1];
    for (const auto write : {safetensors, gguf, onnx, tflite, pytorch, numpy, llama2c, studies})
        write();
}
