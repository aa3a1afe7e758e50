// SPDX-License-Identifier: GPL-3.0-or-later
// make_seeds FOLDER: writes small valid files for each fuzz target, FOLDER/<target>/<name>.
#include "core/base/helper_records.h"
#include "core/file_formats/hdf5_records.h"
#include "core/study/record_codec.h"
#include "tests/fuzz/packed_input.h"
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

void packed()
{
    const std::string state = R"({"quant_type":"nf4","blocksize":64,"shape":[4,32]})";
    const std::string nested =
        R"({"quant_type":"nf4","blocksize":64,"shape":[4,32],"nested_blocksize":2,"nested_offset":0.5})";
    const auto length = [](const std::string& text) { return std::vector {static_cast<std::uint8_t>(text.size())}; };
    const auto whole = [](std::int64_t a, std::int64_t b) { return raw(a) + raw(b); };
    seed("packed", "gptq",
        packedInput(1,
            {{".qweight", DType::I32, {4, 32}}, {".qzeros", DType::I32, {2, 4}}, {".scales", DType::F16, {2, 32}},
                {".g_idx", DType::I32, {32}, std::string(64, '\0') + raw(1)}}));
    seed("packed", "gptq3",
        packedInput(
            2, {{".qweight", DType::I32, {6, 32}}, {".qzeros", DType::I32, {1, 3}}, {".scales", DType::F16, {1, 32}}}));
    seed("packed", "awq",
        packedInput(
            3, {{".qweight", DType::I32, {64, 2}}, {".qzeros", DType::I32, {2, 2}}, {".scales", DType::F16, {2, 16}}}));
    seed("packed", "compressed",
        packedInput(6,
            {{".weight_packed", DType::I32, {4, 8}}, {".weight_scale", DType::BF16, {4, 2}},
                {".weight_zero_point", DType::I32, {1, 2}}, {".weight_shape", DType::I64, {2}, whole(4, 64)}}));
    seed("packed", "nf4",
        packedInput(0,
            {{".weight", DType::U8, {64, 1}}, {".weight.absmax", DType::F32, {2}},
                {".weight.quant_map", DType::F32, {16}},
                {".weight.quant_state.bitsandbytes__nf4", DType::U8, length(state), state}}));
    seed("packed", "nested",
        packedInput(0,
            {{".weight", DType::U8, {64, 1}}, {".weight.absmax", DType::U8, {2}},
                {".weight.quant_map", DType::F32, {16}}, {".weight.nested_absmax", DType::F32, {1}},
                {".weight.nested_quant_map", DType::F32, {255}},
                {".weight.quant_state.bitsandbytes__nf4", DType::U8, length(nested), nested}}));
    seed("packed", "int8", packedInput(0, {{".weight", DType::I8, {8, 16}}, {".SCB", DType::F32, {8}}}));
    seed("packed", "nvfp4",
        packedInput(0,
            {{".weight_packed", DType::U8, {4, 16}}, {".weight_scale", DType::F8_E4M3, {4, 2}},
                {".weight_global_scale", DType::F32, {1}}}));
    seed("packed", "mlx",
        packedInput(
            7, {{".weight", DType::U32, {4, 8}}, {".scales", DType::F16, {4, 2}}, {".biases", DType::F16, {4, 2}}}));
    seed("packed", "mlx4", packedInput(8, {{".weight", DType::U32, {4, 8}}, {".scales", DType::U8, {4, 2}}}));
    seed("packed", "fp8",
        packedInput(5, {{".weight", DType::F8_E4M3, {2, 8, 16}}, {".weight_scale_inv", DType::F32, {2, 2, 2}}}));
    seed(
        "packed", "blocks", packedInput(0, {{"_blocks", DType::U8, {2, 4, 2, 16}}, {"_scales", DType::U8, {2, 4, 2}}}));
    seed("packed", "bitnet", packedInput(4, {{".weight", DType::U8, {4, 16}}, {".weight_scale", DType::F32, {1}}}));
    seed("packed", "hqq",
        packedInput(11,
            {{".W_q", DType::U8, {8, 16}}, {".scale", DType::F16, {16, 1}}, {".zero", DType::F16, {16, 1}},
                {".shape", DType::I64, {2}, whole(16, 16)}, {".nbits", DType::I32, {}, raw(4)},
                {".group_size", DType::I64, {}, raw(std::int64_t {16})}, {".axis", DType::I32, {}, raw(1)}}));
}

std::string helperRecord(Hdf5Record kind, const std::string& bytes)
{
    const HelperRecordHeader header {static_cast<std::uint32_t>(kind), static_cast<std::uint32_t>(bytes.size())};
    return raw(header.kind) + raw(header.bytes) + bytes;
}

std::string hdf5Dataset(const std::string& path, bool packed, const std::vector<std::uint64_t>& extents)
{
    auto bytes = ggufText(path) + raw(static_cast<std::uint8_t>(DType::F32)) + raw(std::uint8_t {packed})
        + raw(std::uint64_t {64}) + raw(std::uint64_t {extents.size()});
    for (const auto extent : extents)
        bytes += raw(extent);
    bytes += raw(std::uint64_t {packed});
    if (packed)
        bytes += raw(std::uint64_t {64}) + raw(std::uint64_t {128});
    return helperRecord(Hdf5Record::Dataset, bytes);
}

std::string hdf5Attribute(const std::string& object, const std::string& name, const std::vector<std::string>& texts)
{
    auto bytes = ggufText(object) + ggufText(name) + raw(std::uint64_t {texts.size()});
    for (const auto& text : texts)
        bytes += ggufText(text);
    return helperRecord(Hdf5Record::Attribute, bytes);
}

void hdf5Answers()
{
    const auto end = helperRecord(Hdf5Record::End, {});
    seed("hdf5_answer", "plain", hdf5Dataset("group/w", false, {4, 8}) + hdf5Dataset("v", true, {16}) + end);
    seed("hdf5_answer", "legacy",
        hdf5Attribute("", "layer_names", {"dense_1"}) + hdf5Attribute("dense_1", "weight_names", {"dense_1/kernel:0"})
            + hdf5Attribute("", "model_config",
                {R"({"class_name":"Sequential","config":{"name":"m","layers":[{"class_name":"Dense","config":{"name":"dense_1"}}]}})"})
            + hdf5Dataset("dense_1/dense_1/kernel:0", false, {4, 8}) + end);
    seed("hdf5_answer", "third",
        hdf5Dataset("layers/conv2d/vars/0", true, {3, 3, 2, 8}) + hdf5Dataset("layers/conv2d/vars/1", false, {8})
            + hdf5Dataset("optimizer/vars/0", false, {}) + end);
}

void configs()
{
    for (std::size_t i = 0; i < kPackedConfigs.size(); ++i)
        seed("config", "packing" + std::to_string(i), kPackedConfigs[i]);
    seed("config", "llama",
        R"({"model_type":"llama","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":8,"num_key_value_heads":4,"intermediate_size":172,"vocab_size":512,"tie_word_embeddings":true,"rope_scaling":{"rope_type":"llama3","factor":8.0}})");
    seed("config", "nested", R"({"model_type":"gemma3","text_config":{"hidden_size":64,"sliding_window":16}})");
    seed("config", "keras",
        R"({"class_name":"Functional","config":{"name":"m","layers":[{"class_name":"Conv2D","name":"c","config":{"name":"c","layers":[]}}]}})");
}

void importance()
{
    const auto floats = raw(1.0F) + raw(2.0F);
    seed("importance", "legacy", raw(1) + raw(3) + "w.w" + raw(4) + raw(2) + floats + raw(10) + raw(4) + "text");
    seed("importance", "gguf",
        GgufBuilder()
            .text("general.type", "imatrix")
            .key("imatrix.datasets", 9, raw(std::uint32_t {8}) + raw(std::uint64_t {1}) + ggufText("text"))
            .u32("imatrix.chunk_count", 4)
            .u32("imatrix.chunk_size", 512)
            .tensor("blk.0.ffn_up.weight.in_sum2", {32, 2}, 0, 256)
            .tensor("blk.0.ffn_up.weight.counts", {1, 2}, 0, 8)
            .file());
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
    for (const auto write :
        {safetensors, gguf, onnx, tflite, pytorch, packed, hdf5Answers, configs, importance, numpy, llama2c, studies})
        write();
}
