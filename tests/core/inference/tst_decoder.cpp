// SPDX-License-Identifier: GPL-3.0-or-later
// What a checkpoint must be for a forward pass: everything else is refused by name, before any weight is read.
#include "core/inference/decoder.h"
#include "tests/core/inference/tiny_families.h"

#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// The error that comes of a changed checkpoint; none if it can be run.
std::optional<Error> errorOf(const TinyDecoder& decoder)
{
    const QTemporaryDir folder;
    const auto model = openTiny(decoder, folder.path().toStdString());
    if (!model)
        return model.error();
    const auto described = describeDecoder(**model);
    return described ? std::nullopt : std::optional(described.error());
}

bool mentions(const std::optional<Error>& error, ErrorCode code, const std::string& text)
{
    if (error && error->code == code && describe(*error).find(text) != std::string::npos)
        return true;
    qWarning("%s", error ? describe(*error).c_str() : "no error");
    return false;
}

TinyDecoder tinyLlama()
{
    TinyDecoder decoder;
    fillTiny(decoder);
    return decoder;
}

}  // namespace

class TestDecoder : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void layersInOrder()
    {
        const QTemporaryDir folder;
        auto tiny = tinyFamilies().at("gemma3_text");
        const auto model = openTiny(tiny, folder.path().toStdString());
        QVERIFY(model);
        const auto decoder = describeDecoder(**model);
        QVERIFY(decoder);
        QCOMPARE(decoder->blocks.size(), std::size_t(7));
        const auto names = [&](const DecoderBlock& block) {
            QByteArrayList list;
            for (const auto tensor : matricesOf(block))
                list << (*model)->tensors[tensor].name.c_str();
            return list.join(' ').replace("model.layers.3.", "");
        };
        QCOMPARE(names(decoder->blocks[3]),
            QByteArray("self_attn.q_proj.weight self_attn.k_proj.weight self_attn.v_proj.weight "
                       "self_attn.o_proj.weight mlp.gate_proj.weight mlp.up_proj.weight mlp.down_proj.weight"));
        QCOMPARE(decoder->blocks[5].attention.window, std::uint64_t(0));
        QCOMPARE(decoder->blocks[6].attention.window, std::uint64_t(5));
        QVERIFY(decoder->blocks[6].attention.local && !decoder->blocks[5].attention.local);
        QCOMPARE(decoder->head.tensor, decoder->embedding);
    }

    void settingsOfConfigFiles()
    {
        const auto settings = parseDecoderSettings(R"({"model_type": "gemma3", 
            "text_config": {"rms_norm_eps": 1e-6, "query_pre_attn_scalar": 168, "sliding_window_pattern": 6,
                "rope_theta": 1000000, "rope_local_base_freq": 1e4, "final_logit_softcapping": null,
                "layer_types": ["sliding_attention", "full_attention"],
                "rope_scaling": {"rope_type": "linear", "factor": 8.0}}})",
            "config.json");
        QVERIFY(settings);
        QCOMPARE(settings->normEpsilon, std::optional(1e-6));
        QCOMPARE(settings->queryScale, std::optional(168.0));
        QCOMPARE(settings->rotaryBase, std::optional(1e6));
        QCOMPARE(settings->localRotaryBase, std::optional(1e4));
        QCOMPARE(settings->outputCap, std::nullopt);
        QVERIFY((settings->windowedLayers == std::vector<bool> {true, false}));
        QCOMPARE(QByteArray(settings->rotary.type.c_str()), QByteArray("linear"));
        QCOMPARE(settings->rotary.factor, std::optional(8.0));

        const auto newer = parseDecoderSettings(R"({"rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3",
            "factor": 32, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}})",
            "config.json");
        QVERIFY(newer);
        QCOMPARE(newer->rotaryBase, std::optional(5e5));
        QCOMPARE(newer->rotary.originalContext, std::optional(8192.0));
        const auto phi = parseDecoderSettings(R"({"original_max_position_embeddings": 4096, "sliding_window": 262144,
            "rope_scaling": {"type": "su", "short_factor": [1.0, 1.5], "long_factor": [2, 3.25]}})",
            "config.json");
        QVERIFY(phi);
        QCOMPARE(QByteArray(phi->rotary.type.c_str()), QByteArray("longrope"));
        QVERIFY((phi->rotary.longFactors == std::vector<double> {2.0, 3.25}));
        QCOMPARE(phi->rotary.originalContext, std::optional(4096.0));
        QVERIFY(!parseDecoderSettings("{\"a\": ", "config.json"));
    }

    void unknownArchitecture()
    {
        auto decoder = tinyLlama();
        decoder.type = "mamba";
        QVERIFY(mentions(errorOf(decoder), ErrorCode::Unsupported, "'mamba'"));
    }

    void unknownSettings()
    {
        auto decoder = tinyLlama();
        decoder.config["hidden_act"] = "relu2";
        QVERIFY(mentions(errorOf(decoder), ErrorCode::Unsupported, "'relu2'"));
        decoder = tinyLlama();
        decoder.config["rope_scaling"] = {{"type", "mrope"}, {"factor", 2.0}};
        QVERIFY(mentions(errorOf(decoder), ErrorCode::Unsupported, "'mrope'"));
        decoder = tinyFamilies().at("gpt2");
        decoder.config["scale_attn_by_inverse_layer_idx"] = true;
        QVERIFY(mentions(errorOf(decoder), ErrorCode::Unsupported, "'scale_attn_by_inverse_layer_idx'"));
    }

    void missingTensors()
    {
        for (const auto* name : {"model.layers.1.self_attn.k_proj.weight", "model.layers.0.mlp.up_proj.weight",
                 "model.layers.1.input_layernorm.weight", "model.norm.weight", "model.embed_tokens.weight"}) {
            auto decoder = tinyLlama();
            decoder.tensors.erase(name);
            QVERIFY(mentions(errorOf(decoder), ErrorCode::Malformed, *ggufName(name, "llama")));
        }
        auto decoder = tinyFamilies().at("mixtral");
        decoder.tensors.erase("model.layers.1.block_sparse_moe.experts.3.w2.weight");
        QVERIFY(mentions(errorOf(decoder), ErrorCode::Malformed, "expert 3"));
        decoder = tinyFamilies().at("mixtral");
        decoder.tensors.erase("lm_head.weight");
        QVERIFY(mentions(errorOf(decoder), ErrorCode::Malformed, "output head"));
    }

    void shapesThatDoNotFit()
    {
        const auto reshaped = [](const char* name, std::vector<std::size_t> shape) {
            auto decoder = tinyLlama();
            auto& tensor = decoder.tensors.at(name);
            tensor.values.resize(shape[0] * (shape.size() > 1 ? shape[1] : 1));
            tensor.shape = std::move(shape);
            return errorOf(decoder);
        };
        for (const auto* name : {"model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.o_proj.weight",
                 "model.layers.0.mlp.gate_proj.weight", "model.layers.1.mlp.down_proj.weight"})
            QVERIFY(mentions(reshaped(name, {24, 40}), ErrorCode::Malformed, name));
        QVERIFY(mentions(reshaped("model.norm.weight", {31}), ErrorCode::Malformed, "model.norm.weight"));
        QVERIFY(mentions(reshaped("model.layers.0.mlp.down_proj.weight", {32, 0}), ErrorCode::Malformed, "down_proj"));
    }

    void figuresThatDoNotFit()
    {
        const auto with = [](const char* key, nlohmann::ordered_json value) {
            auto decoder = tinyLlama();
            decoder.config[key] = std::move(value);
            return errorOf(decoder);
        };
        QVERIFY(mentions(with("vocab_size", 62), ErrorCode::Malformed, "vocabulary of 62"));
        QVERIFY(mentions(with("num_attention_heads", 3), ErrorCode::Malformed, "heads"));
        QVERIFY(mentions(with("num_attention_heads", 0), ErrorCode::Malformed, "heads"));
        QVERIFY(mentions(with("head_dim", 10), ErrorCode::Malformed, "q_proj"));
        QVERIFY(mentions(with("num_hidden_layers", 3), ErrorCode::Malformed, "blk.2."));
        QVERIFY(mentions(with("num_hidden_layers", 18446744073709551615ULL), ErrorCode::Malformed, "blocks"));
        QVERIFY(mentions(with("head_dim", 4294967296ULL), ErrorCode::Malformed, "heads"));
        QVERIFY(mentions(with("hidden_size", 64), ErrorCode::Malformed, "embed_tokens"));
        QVERIFY(mentions(with("partial_rotary_factor", 0.0), ErrorCode::Malformed, "rotary"));
        QVERIFY(!with("vocab_size", 50));  // tables are padded
    }
};

QTEST_APPLESS_MAIN(TestDecoder)
#include "tst_decoder.moc"
