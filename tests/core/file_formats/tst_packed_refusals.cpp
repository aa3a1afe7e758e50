// SPDX-License-Identifier: GPL-3.0-or-later
// Packed weights whose parts do not fit each other: shown as stored, with a warning that says why.
#include "tests/support/packed_files.h"

#include <QTest>

#include <map>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

struct Part {
    QByteArray dtype;
    QList<int> shape;
    QByteArray bytes {};  ///< empty: zeros
};
using Parts = QMap<QByteArray, Part>;

int bytesOf(const QByteArray& dtype)
{
    return dtype.endsWith("64") ? 8 : dtype.endsWith("32") ? 4 : dtype.endsWith("16") ? 2 : 1;
}

std::string fileOf(const Parts& parts)
{
    SafetensorsBuilder file;
    for (auto part = parts.begin(); part != parts.end(); ++part) {
        Shape shape;
        std::size_t bytes = std::size_t(bytesOf(part->dtype));
        for (const int extent : part->shape) {
            shape.push_back(std::uint64_t(extent));
            bytes *= std::size_t(extent);
        }
        file.add(part.key().toStdString(), part->dtype.toStdString(), shape,
            part->bytes.isEmpty() ? std::string(bytes, '\0') : part->bytes.toStdString());
    }
    return file.file();
}

Parts with(Parts parts, const char* name, const Part& part)
{
    parts[name] = part;
    return parts;
}

Parts without(Parts parts, const char* name)
{
    parts.remove(name);
    return parts;
}

template<class Number>
QByteArray bytes(std::initializer_list<Number> values)
{
    return QByteArray::fromStdString(numbers<Number>(std::vector<Number>(values)));
}

const QByteArray kState = R"({"quant_type":"nf4","blocksize":64,"shape":[4,32]})";

const Parts kGptq {{"a.qweight", {"I32", {4, 32}}}, {"a.qzeros", {"I32", {2, 4}}}, {"a.scales", {"F16", {2, 32}}},
    {"a.g_idx", {"I32", {32}}}};
const Parts kAwq {{"a.qweight", {"I32", {64, 2}}}, {"a.qzeros", {"I32", {2, 2}}}, {"a.scales", {"F16", {2, 16}}}};
const Parts kPacked {{"a.weight_packed", {"I32", {4, 8}}}, {"a.weight_scale", {"BF16", {4, 2}}},
    {"a.weight_shape", {"I64", {2}, bytes<std::int64_t>({4, 64})}}};
const Parts kNf4 {{"a.weight", {"U8", {64, 1}}}, {"a.weight.absmax", {"F32", {2}}},
    {"a.weight.quant_map", {"F32", {16}}},
    {"a.weight.quant_state.bitsandbytes__nf4", {"U8", {int(kState.size())}, kState}}};
const Parts kNvfp4 {{"a.weight_packed", {"U8", {4, 16}}}, {"a.weight_scale", {"F8_E4M3", {4, 2}}},
    {"a.weight_global_scale", {"F32", {1}}}};
const Parts kMlx {{"a.weight", {"U32", {4, 8}}}, {"a.scales", {"F16", {4, 1}}}, {"a.biases", {"F16", {4, 1}}}};
const Parts kFp8 {{"a.weight", {"F8_E4M3", {4, 8}}}, {"a.weight_scale", {"F32", {4, 1}}}};
const Parts kBlocks {{"a_blocks", {"U8", {2, 4, 2, 16}}}, {"a_scales", {"U8", {2, 4, 2}}}};
const Parts kHqq {{"a.W_q", {"U8", {8, 16}}}, {"a.scale", {"F16", {16, 1}}}, {"a.zero", {"F16", {16, 1}}},
    {"a.shape", {"I64", {2}, bytes<std::int64_t>({16, 16})}}, {"a.nbits", {"I32", {}, bytes<std::int32_t>({4})}}};

}  // namespace

class TestPackedRefusals : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void opens_data()
    {
        QTest::addColumn<Parts>("parts");
        QTest::newRow("GPTQ") << kGptq;
        QTest::newRow("AWQ") << kAwq;
        QTest::newRow("compressed-tensors") << kPacked;
        QTest::newRow("nf4") << kNf4;
        QTest::newRow("nvfp4") << kNvfp4;
        QTest::newRow("MLX") << kMlx;
        QTest::newRow("fp8") << kFp8;
        QTest::newRow("mxfp4") << kBlocks;
        QTest::newRow("HQQ") << kHqq;
    }

    void opens()
    {
        QFETCH(const Parts, parts);
        CheckpointFolder folder;
        const auto model = openModel(folder.write("model.safetensors", fileOf(parts)));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
        QVERIFY((*model)->tensors[0].quantizable());
    }

    /// Where config.json says what it is, no guess by shapes comes before.
    void refusesScalesOfFewerChannels()
    {
        CheckpointFolder folder;
        folder.write("config.json", R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":16}})");
        const auto parts = with(kGptq, "a.scales", {"F16", {2, 3}});
        const auto model = openModel(folder.write("model.safetensors", fileOf(parts)));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto& warnings = (*model)->warnings;
        QVERIFY(std::any_of(warnings.begin(), warnings.end(),
            [](const auto& text) { return text.find("'a.scales' is 2×3") != std::string::npos; }));
    }

    void refuses_data()
    {
        QTest::addColumn<Parts>("parts");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* name, const Parts& parts, const char* reason) {
            QTest::newRow(name) << parts << QByteArray(reason);
        };
        row("no scales", without(kGptq, "a.scales"), "'a.qweight' comes without 'a.scales'");
        row("no zeros", without(kGptq, "a.qzeros"), "'a.qweight' comes without 'a.qzeros'");
        row("zeros of no width", with(kGptq, "a.qzeros", {"I32", {2, 0}}), "");
        row("zeros of odd width", with(kGptq, "a.qzeros", {"I32", {2, 33}}), "'a.qzeros' has a width");
        row("zeros of fewer groups", with(kGptq, "a.qzeros", {"I32", {1, 4}}), "'a.qzeros' is 1×4");
        row("too many groups", with(with(kGptq, "a.scales", {"F16", {40, 32}}), "a.qzeros", {"I32", {40, 4}}),
            "'a.scales' has 40 groups");
        row("codes as floats", with(kGptq, "a.qweight", {"F32", {4, 32}}), "");
        row("scales as integers", with(kGptq, "a.scales", {"I16", {2, 32}}), "'a.scales' is of type I16");
        row("short group indices", with(kGptq, "a.g_idx", {"I32", {31}}), "'a.g_idx' is 31");
        row("group index beyond",
            with(kGptq, "a.g_idx", {"I32", {32}, QByteArray(124, '\0') + bytes<std::int32_t>({2})}),
            "puts column 31 into group 2");
        row("negative group index",
            with(kGptq, "a.g_idx", {"I32", {32}, bytes<std::int32_t>({-1}) + QByteArray(124, '\0')}),
            "puts column 0 into group -1");
        row("a plain weight beside", with(kGptq, "a.weight", {"F16", {32, 32}}),
            "stands for 'a.weight', which is there by itself");
        row("AWQ of odd width", with(kAwq, "a.qweight", {"I32", {64, 3}}), "'a.qweight' is 3 words wide");
        row("AWQ groups", with(kAwq, "a.scales", {"F16", {3, 16}}), "'a.scales' does not cut");
        row("no shape", without(kPacked, "a.weight_shape"), "comes without 'a.weight_shape'");
        row("shape of nothing", with(kPacked, "a.weight_shape", {"I64", {2}, bytes<std::int64_t>({4, -5})}),
            "'a.weight_shape' holds an extent");
        row("shape too large", with(kPacked, "a.weight_shape", {"I64", {2}, bytes<std::int64_t>({4, 1LL << 62})}),
            "'a.weight_shape' holds an extent");
        row("shape of more rows", with(kPacked, "a.weight_shape", {"I64", {2}, bytes<std::int64_t>({5, 64})}),
            "'a.weight_packed' does not have the 5 rows");
        row("shape of more columns", with(kPacked, "a.weight_shape", {"I64", {2}, bytes<std::int64_t>({4, 6400})}),
            "'a.weight_packed' is 8 words wide");
        row("zero points", with(kPacked, "a.weight_zero_point", {"I32", {4, 2}}), "'a.weight_zero_point' is 4×2");
        row("nf4 of another size", with(kNf4, "a.weight", {"U8", {63, 1}}), "'a.weight' holds another number");
        row("nf4 blocks", with(kNf4, "a.weight.absmax", {"F32", {3}}), "'a.weight.absmax' has another length");
        row("nf4 nested", with(kNf4, "a.weight.absmax", {"U8", {2}}), "comes without 'a.weight.nested_quant_map'");
        row("nf4 levels", with(kNf4, "a.weight.quant_map", {"F32", {15}}), "'a.weight.quant_map' is 15");
        row("nf4 without a block size",
            with(kNf4, "a.weight.quant_state.bitsandbytes__nf4", {"U8", {16}, R"({"shape":[4,32]})"}),
            "does not give shape and block size");
        row("nf4 state cut", with(kNf4, "a.weight.quant_state.bitsandbytes__nf4", {"U8", {8}, R"({"shape")"}), "");
        row("nf4 huge shape",
            with(kNf4, "a.weight.quant_state.bitsandbytes__nf4",
                {"U8", {55}, R"({"blocksize":64,"shape":[4294967296,4294967296,2,1, 1]})"}),
            "");
        row("nvfp4 scales", with(kNvfp4, "a.weight_scale", {"F8_E4M3", {4, 1}}), "'a.weight_scale' is 4×1");
        row("nvfp4 type of scales", with(kNvfp4, "a.weight_scale", {"U8", {4, 2}}), "'a.weight_scale'");
        row("nvfp4 global", with(kNvfp4, "a.weight_global_scale", {"F32", {2}}), "is not one number");
        row("MLX groups", with(kMlx, "a.scales", {"F16", {4, 3}}), "'a.scales' has 3 groups");
        row("MLX biases", with(kMlx, "a.biases", {"F16", {4, 2}}), "'a.biases' is 4×2");
        row("MLX without biases", without(kMlx, "a.biases"), "comes without 'a.biases'");
        row("fp8 scales", with(kFp8, "a.weight_scale", {"F32", {3, 1}}), "does not fit weights of 4×8");
        row("mxfp4 scales", with(kBlocks, "a_scales", {"U8", {2, 4, 1}}), "'a_scales' is 2×4×1");
        row("HQQ scales", with(kHqq, "a.scale", {"F16", {7, 1}}), "do not cut 256 weights");
        row("HQQ codes", with(kHqq, "a.W_q", {"U8", {7, 16}}), "'a.W_q' holds another number");
        row("HQQ without a shape", without(kHqq, "a.shape"), "comes without the shape");
    }

    /// A module that fits lies beside: it is decoded all the same.
    void refuses()
    {
        QFETCH(const Parts, parts);
        QFETCH(const QByteArray, reason);
        auto all = parts;
        for (auto part = kFp8.begin(); part != kFp8.end(); ++part)
            all["good" + part.key().mid(1)] = *part;
        CheckpointFolder folder;
        const auto model = openModel(folder.write("model.safetensors", fileOf(all)));
        if (reason.isEmpty()) {  // how it is put does not matter: it must not be decoded
            for (std::size_t i = 0; model && i < (*model)->tensors.size(); ++i)
                QVERIFY(!(*model)->tensors[i].view.decoder || (*model)->tensors[i].name == "good.weight");
            return;
        }
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(parts.size() + 1));
        for (const auto& tensor : (*model)->tensors)
            QCOMPARE(tensor.view.decoder != nullptr, tensor.name == "good.weight");
        const auto& warnings = (*model)->warnings;
        QVERIFY(std::any_of(warnings.begin(), warnings.end(), [&](const auto& text) {
            return text.find(reason.constData()) != std::string::npos
                && text.find("do not fit each other") != std::string::npos && text.find("'a'") != std::string::npos;
        }));
    }

    /// Two packings of one weight, the second of which fits by itself.
    void keepsTheFirstOfTwoPackings()
    {
        auto both = kGptq;
        for (auto part = kPacked.begin(); part != kPacked.end(); ++part)
            both[part.key()] = *part;
        CheckpointFolder folder;
        const auto model = openModel(folder.write("model.safetensors", fileOf(both)));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(4));
        const auto weight = (*model)->find("a.weight");
        QVERIFY(weight && (*model)->tensors[*weight].view.decoder);
    }

    /// Files damaged in random places: what is accepted decodes, whatever is in it.
    void damageNeverCrashes_data() { opens_data(); }

    void damageNeverCrashes()
    {
        QFETCH(const Parts, parts);
        CheckpointFolder folder;
        const auto valid = fileOf(parts);
        std::mt19937 random(77);
        int decoded = 0;
        for (int round = 0; round < 1'000; ++round) {
            auto broken = valid;
            // Half of the changes in the header's digits and names, half in what group indices and states are.
            for (std::size_t i = 0; i <= random() % 3; ++i) {
                auto& byte = broken[round % 2 ? 8 + random() % (broken.size() - 8) : 8 + random() % valid.find("}}")];
                byte = static_cast<char>(byte >= '0' && byte <= '9' ? '0' + int(random() % 10) : int(random()));
            }
            const auto model = openModel(folder.write("model.safetensors", broken));
            if (!model)
                continue;
            for (const auto& tensor : (*model)->tensors) {
                const auto shape = matrixShape(tensor.view);
                if (!tensor.view.decoder || shape.elements() > 1'000'000)
                    continue;
                std::vector<float> values(shape.elements());
                decodeRows(tensor.view, 0, shape.rows, values);
                ++decoded;
            }
        }
        QVERIFY(decoded > 50);
    }

    /// What is not built is listed as stored, and told.
    void leavesWhatIsNotBuilt_data()
    {
        QTest::addColumn<Parts>("parts");
        QTest::addColumn<QByteArray>("config");
        QTest::addColumn<QByteArray>("warning");
        QTest::newRow("AWQ for another kernel")
            << kAwq << QByteArray(R"({"quantization_config":{"quant_method":"awq","version":"gemv"}})")
            << QByteArray("gemv");
        QTest::newRow("GPTQ of 5 bits") << with(kGptq, "a.qzeros", {"I32", {2, 5}}) << QByteArray("{}")
                                        << QByteArray("5 bits");
        QTest::newRow("HQQ with quantized scales")
            << with(kHqq, "a.scale_q", {"U8", {16}}) << QByteArray("{}") << QByteArray("packed in turn");
        QTest::newRow("EETQ") << Parts {{"a.qweight", {"I8", {32, 32}}}, {"a.weight_scales", {"F16", {32}}}}
                              << QByteArray(R"({"quantization_config":{"quant_method":"eetq"}})") << QByteArray("eetq");
        QTest::newRow("the weight of a query")
            << Parts {{"a.W_q", {"F32", {8, 8}}}, {"a.scale", {"F32", {8}}}} << QByteArray("{}") << QByteArray("");
        QTest::newRow("marlin-24") << with(kPacked, "a.meta", {"I16", {4, 4}}) << QByteArray("{}")
                                   << QByteArray("marlin-24");
        QTest::newRow("SqueezeLLM") << Parts {{"a.qweight", {"I32", {4, 32}}}, {"a.lookup_table", {"F32", {32, 16}}}}
                                    << QByteArray(R"({"quantization_config":{"quant_method":"squeezellm"}})")
                                    << QByteArray("squeezellm");
    }

    void leavesWhatIsNotBuilt()
    {
        QFETCH(const Parts, parts);
        QFETCH(const QByteArray, config);
        QFETCH(const QByteArray, warning);
        CheckpointFolder folder;
        folder.write("config.json", config.toStdString());
        const auto model = openModel(folder.write("model.safetensors", fileOf(parts)));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(parts.size()));
        for (const auto& tensor : (*model)->tensors)
            QVERIFY(!tensor.view.decoder);
        const auto& warnings = (*model)->warnings;
        QVERIFY(warning.isEmpty() || std::any_of(warnings.begin(), warnings.end(), [&](const auto& text) {
            return text.find(warning.constData()) != std::string::npos;
        }));
    }
};

QTEST_APPLESS_MAIN(TestPackedRefusals)
#include "tst_packed_refusals.moc"
