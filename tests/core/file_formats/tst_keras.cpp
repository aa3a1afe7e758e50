// SPDX-License-Identifier: GPL-3.0-or-later
// Keras' three ways of keeping weights: real files against statistics computed by another program, and files made here.
#include "core/file_formats/keras_layers.h"
#include "tests/support/hdf5_files.h"
#include "tests/support/shared_data.h"
#include "tests/support/tensor_figures.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/zip_files.h"

#include <QTest>

#include <nlohmann/json.hpp>

#include <fstream>
#include <map>
#include <numeric>
#include <sstream>

using namespace quantloupe;
using tests::Hdf5Builder;

namespace {

/// A dataset's path as the statistics name it, from the name we give: the rules, written down once more. Layers of the
/// two real legacy files repeat their name, the second time with a number of the graph.
std::string readable(std::string path)
{
    const auto starts = [&](std::string_view front) { return path.starts_with(front); };
    if (starts("model_weights/"))
        path.erase(0, 14);
    if (starts("layers/"))
        path.erase(0, 7);
    if (path.ends_with(":0")) {
        path.resize(path.size() - 2);
        const auto first = path.find('/'), second = path.find('/', first + 1);
        path.erase(first, second - first);
    }
    const bool kernel = path.ends_with("/vars/0");
    if (kernel || path.ends_with("/vars/1"))
        path.replace(path.size() - 6, 6, kernel ? "kernel" : "bias");
    return path;
}

std::string bytesOf(const std::filesystem::path& path)
{
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

std::vector<float> counted(std::size_t count)
{
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), 0.0F);
    return values;
}

const ModelTensor* tensorOf(const Model& model, std::string_view name)
{
    const auto index = model.find(name);
    return index ? &model.tensors[*index] : nullptr;
}

std::string namesOf(const Model& model)
{
    std::string names;
    for (const auto& tensor : model.tensors)
        names += (names.empty() ? "" : " ") + tensor.name;
    return names;
}

/// Checks rows, columns and some elements against the place that `at` computes in the file.
template<class At>
void isMatrix(const Model& model, std::string_view name, std::uint64_t rows, std::uint64_t columns, At at)
{
    const auto* tensor = tensorOf(model, name);
    QVERIFY2(tensor, std::string(name).c_str());
    QCOMPARE(matrixShape(tensor->view).rows, rows);
    QCOMPARE(matrixShape(tensor->view).columns, columns);
    const auto values = tests::valuesOf(tensor->view);
    for (std::uint64_t row = 0; row < rows; ++row)
        for (std::uint64_t column = 0; column < columns; ++column)
            QCOMPARE(values[row * columns + column], float(at(row, column)));
}

}  // namespace

class TestKeras : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void init() { m_folder.emplace(); }

    void agreesWithTheStatistics_data()
    {
        QTest::addColumn<int>("tensors");
        QTest::newRow("keras-legacy/textgenrnn_weights.hdf5") << 10;
        QTest::newRow("keras-legacy/fer2013_mini_XCEPTION.102-0.66.hdf5") << 80;
        QTest::newRow("keras3/best-cnn-model.keras") << 8;
    }

    void agreesWithTheStatistics()
    {
        QFETCH(const int, tensors);
        const auto path = tests::corpus() / QTest::currentDataTag();
        QUANTLOUPE_NEED(path);
        const auto statistics = nlohmann::json::parse(std::ifstream(tests::corpus() / "STATS.json"));
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->format, std::string("keras"));
        QCOMPARE((*model)->tensors.size(), std::size_t(tensors));
        int found = 0;
        for (const auto& row : statistics.at(QTest::currentDataTag()).at("tensors")) {
            const auto name = row.at("name").get<std::string>();
            if (name.starts_with("optimizer"))
                continue;
            const auto* tensor = tensorOf(**model, readable(name));
            QVERIFY2(tensor, name.c_str());
            ++found;
            auto shape = row.at("shape").get<Shape>();
            if (tensor->name.ends_with("depthwise_kernel")) {
                shape[3] *= shape[2];
                shape[2] = 1;
            }
            QVERIFY2(tensor->view.shape == shape, name.c_str());
            QCOMPARE(row.at("dtype").get<std::string>(), std::string("float32"));
            QVERIFY(tensor->view.dtype == DType::F32);
            QVERIFY2(tensor->view.deferred == nullptr, name.c_str());
            QVERIFY2(tests::agree(tests::figuresOf(tests::valuesOf(tensor->view)), row), name.c_str());
        }
        QCOMPARE(found, tensors);
    }

    void realFilesHaveRolesAndOrder()
    {
        const auto folder = tests::corpus();
        QUANTLOUPE_NEED(folder / "keras3");
        const auto cnn = openModel(folder / "keras3/best-cnn-model.keras");
        QVERIFY(cnn);
        QCOMPARE(namesOf(**cnn),
            std::string("conv2d/kernel conv2d/bias conv2d_1/kernel conv2d_1/bias dense/kernel dense/bias "
                        "dense_1/kernel dense_1/bias"));
        QCOMPARE((*cnn)->config.architecture, std::string("Sequential"));
        QCOMPARE(matrixShape(tensorOf(**cnn, "conv2d_1/kernel")->view).rows, std::uint64_t(64));
        QCOMPARE(matrixShape(tensorOf(**cnn, "dense/kernel")->view).rows, std::uint64_t(100));
        QVERIFY(tensorOf(**cnn, "dense/kernel")->quantizable());
        QVERIFY(tensorOf(**cnn, "dense/bias")->parts.role == TensorRole::Bias);
        const auto text = openModel(folder / "keras-legacy/textgenrnn_weights.hdf5");
        QVERIFY(text);
        QVERIFY(tensorOf(**text, "embedding/embeddings")->parts.role == TensorRole::Embedding);
        QCOMPARE(matrixShape(tensorOf(**text, "embedding/embeddings")->view).rows, std::uint64_t(465));
        QCOMPARE(matrixShape(tensorOf(**text, "rnn_1/recurrent_kernel")->view).rows, std::uint64_t(512));
        const auto xception = openModel(folder / "keras-legacy/fer2013_mini_XCEPTION.102-0.66.hdf5");
        QVERIFY(xception);
        QVERIFY(tensorOf(**xception, "batch_normalization_1/moving_mean")->parts.role == TensorRole::Norm);
        QCOMPARE(
            matrixShape(tensorOf(**xception, "separable_conv2d_8/depthwise_kernel")->view).rows, std::uint64_t(128));
    }

    void archivesOpenStoredAndDeflated()
    {
        const auto weights = m_folder->path() / "model.weights.h5";
        {
            const Hdf5Builder file(weights);
            file.floats("layers/conv2d/vars/0", {3, 3, 2, 4}, counted(72));
            file.floats("layers/conv2d/vars/1", {4}, counted(4));
            file.floats("layers/dense/vars/0", {4, 5}, counted(20), {.chunks = {2, 2}, .deflate = 3});
            file.floats("layers/dense_1/vars/0", {5, 2}, counted(10));
            file.floats("layers/functional/layers/dense/vars/0", {2, 2}, counted(4));
            file.floats("optimizer/vars/0", {5}, counted(5));
        }
        const std::string config = R"({"class_name":"Functional","config":{"name":"net","layers":[
            {"class_name":"InputLayer","config":{"name":"in"}},
            {"class_name":"Conv2D","config":{"name":"stem","dtype":{"class_name":"DTypePolicy","config":{"name":"x"}}}},
            {"class_name":"Dense","config":{"name":"hidden"}},
            {"class_name":"Lambda","config":{"name":"code","function":{"class_name":"__lambda__","config":{"code":"4wAA"}}}},
            {"config":{"name":"inner","layers":[{"class_name":"Dense","config":{"name":"deep"}}]},"class_name":"Functional"},
            {"class_name":"Dense","config":{"name":"out"}}]}})";
        std::string fingerprint;
        for (const bool deflated : {false, true}) {
            tests::ZipBuilder zip;
            zip.store("metadata.json", R"({"keras_version":"3.4.1"})");
            zip.deflate("config.json", config);
            deflated ? zip.deflate("model.weights.h5", bytesOf(weights))
                     : zip.store("model.weights.h5", bytesOf(weights));
            const auto path = m_folder->write("net.keras", zip.file());
            std::stop_source stopped;
            stopped.request_stop();
            const auto given = openModel(path, stopped.get_token());
            QVERIFY(!given && given.error().code == ErrorCode::Cancelled);
            const auto model = openModel(path);
            QVERIFY2(model, model ? "" : describe(model.error()).c_str());
            QCOMPARE((*model)->tensors.size(), std::size_t(5));
            isMatrix(**model, "stem/kernel", 4, 18, [](auto row, auto column) { return column * 4 + row; });
            isMatrix(**model, "hidden/kernel", 5, 4, [](auto row, auto column) { return column * 5 + row; });
            isMatrix(**model, "out/kernel", 2, 5, [](auto row, auto column) { return column * 2 + row; });
            isMatrix(**model, "inner/deep/kernel", 2, 2, [](auto row, auto column) { return column * 2 + row; });
            QVERIFY(tensorOf(**model, "stem/bias"));
            QCOMPARE((*model)->files.size(), std::size_t(1));
            QVERIFY(fingerprint.empty() || fingerprint == (*model)->fingerprint);
            fingerprint = (*model)->fingerprint;
        }
    }

    void archivesWithoutWeightsAreRefused()
    {
        tests::ZipBuilder zip;
        zip.store("metadata.json", "{}");
        zip.store("model.weights.npz", "x");
        auto model = openModel(m_folder->write("a.keras", zip.file()));
        QVERIFY(!model);
        QCOMPARE(model.error().code, ErrorCode::Unsupported);
        zip.store("model.weights.h5", "not HDF5");
        model = openModel(m_folder->write("a.keras", zip.file()));
        QVERIFY(!model);
        QCOMPARE(model.error().code, ErrorCode::Malformed);
        QVERIFY(model.error().where.find("model.weights.h5") != std::string::npos);
    }

    void brainFloatsAndLayersOfLayers()
    {
        const auto path = m_folder->path() / "model.weights.h5";
        {
            const Hdf5Builder file(path);
            const hdf5::Type opaque(H5Tcreate(H5T_OPAQUE, 2));
            file.dataset("layers/dense/vars/0", {2, 2}, opaque.id(),
                std::vector<std::uint16_t> {0x3F80, 0x4000, 0x4040, 0x4080}, {.stored = opaque.id()});
            file.text("layers/dense/vars/0", "dtype", "bfloat16");
            file.floats("layers/bidirectional/forward_layer/cell/vars/0", {3, 8}, counted(24));
            file.floats("layers/bidirectional/forward_layer/cell/vars/1", {2, 8}, counted(16));
            file.floats("layers/multi_head_attention/query_dense/vars/0", {6, 2, 3}, counted(36));
            file.floats("layers/multi_head_attention/output_dense/vars/0", {2, 3, 6}, counted(36));
            file.floats("layers/depthwise_conv2d/vars/0", {3, 3, 2, 4}, counted(72));
            file.floats("layers/batch_normalization/vars/2", {6}, counted(6));
            file.floats("_layer_checkpoint_dependencies/embedding/vars/0", {7, 3}, counted(21));
            file.floats("my_own/vars/0", {3, 2}, counted(6));
            file.floats("my_own/vars/1", {2}, counted(2));
            file.floats("another/vars/0", {3, 2}, counted(6));
        }
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        isMatrix(**model, "dense/kernel", 2, 2, [](auto row, auto column) { return 1 + column * 2 + row; });
        isMatrix(
            **model, "multi_head_attention/query/kernel", 6, 6, [](auto row, auto column) { return column * 6 + row; });
        isMatrix(**model, "multi_head_attention/attention_output/kernel", 6, 6,
            [](auto row, auto column) { return column * 6 + row; });
        isMatrix(
            **model, "depthwise_conv2d/depthwise_kernel", 8, 9, [](auto row, auto column) { return column * 8 + row; });
        isMatrix(**model, "embedding/embeddings", 7, 3, [](auto row, auto column) { return row * 3 + column; });
        isMatrix(**model, "my_own/kernel", 2, 3, [](auto row, auto column) { return column * 2 + row; });
        isMatrix(**model, "another/vars/0", 3, 2, [](auto row, auto column) { return row * 2 + column; });
        QVERIFY(tensorOf(**model, "multi_head_attention/query/kernel")->parts.role == TensorRole::Query);
        QVERIFY(tensorOf(**model, "batch_normalization/vars/2")->parts.role == TensorRole::Norm);
    }

    void transformersNamesAreReadable()
    {
        const auto path = m_folder->path() / "tf_model.h5";
        {
            const Hdf5Builder file(path);
            const std::string front = "bert/tf_bert_model/bert/";
            const auto add = [&](const std::string& weight, std::vector<hsize_t> shape) {
                file.floats("bert/tf_bert_model/bert/" + weight, shape,
                    counted(std::accumulate(shape.begin(), shape.end(), std::size_t {1}, std::multiplies())));
                return "tf_bert_model/bert/" + weight;
            };
            const std::vector<std::string> first {add("embeddings/word_embeddings/weight:0", {5, 4}),
                add("encoder/layer_._0/attention/self/query/kernel:0", {4, 4})};
            const std::vector<std::string> second {add("encoder/layer_._0/output/dense/kernel:0", {8, 4}),
                add("encoder/layer_._0/output/LayerNorm/gamma:0", {4})};
            // What one attribute cannot hold is continued in others.
            file.texts("bert", "weight_names0", first);
            file.texts("bert", "weight_names1", second);
            file.texts("/", "layer_names0", {"bert"});
        }
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE(namesOf(**model),
            std::string("bert/embeddings/word_embeddings/weight bert/encoder/layer/0/attention/self/query/kernel "
                        "bert/encoder/layer/0/output/dense/kernel bert/encoder/layer/0/output/LayerNorm/gamma"));
        const auto& tensors = (*model)->tensors;
        QVERIFY(tensors[0].parts.role == TensorRole::Embedding);
        QVERIFY(tensors[1].parts.role == TensorRole::Query && tensors[1].parts.block == 0U);
        QVERIFY(tensors[2].parts.role == TensorRole::Down && tensors[3].parts.role == TensorRole::Norm);
        isMatrix(**model, tensors[0].name, 5, 4, [](auto row, auto column) { return row * 4 + column; });
        isMatrix(**model, tensors[2].name, 4, 8, [](auto row, auto column) { return column * 4 + row; });
    }

    void weightsThatAreNotThereAreNamed()
    {
        const auto path = m_folder->path() / "legacy.h5";
        {
            const Hdf5Builder file(path);
            file.floats("a/a/kernel:0", {2, 2}, counted(4));
            file.texts("/", "layer_names", {"a"});
            file.texts("a", "weight_names", {"a/kernel:0", "a/bias:0"});
        }
        const auto model = openModel(path);
        QVERIFY(!model);
        QCOMPARE(model.error().code, ErrorCode::Malformed);
        QVERIFY2(model.error().reason.find("'a/bias:0'") != std::string::npos, model.error().reason.c_str());
    }

    void layersListedTwiceAreRefused()
    {
        const auto path = m_folder->path() / "twice.h5";
        {
            const Hdf5Builder file(path);
            file.floats("a/kernel:0", {2}, counted(2));
            file.texts("/", "layer_names", {"a", "a"});
            file.texts("a", "weight_names", {"kernel:0"});
        }
        const auto model = openModel(path);
        QVERIFY(!model);
        QVERIFY2(model.error().reason.find("'a' is listed twice") != std::string::npos, model.error().reason.c_str());
    }

    void namesThatReadTheSameStayPaths()
    {
        const auto path = m_folder->path() / "same.h5";
        {
            const Hdf5Builder file(path);
            file.floats("a/x/kernel:0", {2}, counted(2));
            file.floats("a/x/kernel:1", {2}, counted(2));
            file.texts("/", "layer_names", {"a"});
            file.texts("a", "weight_names", {"x/kernel:0", "x/kernel:1"});
        }
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE(namesOf(**model), std::string("a/x/kernel:0 a/x/kernel:1"));
    }

    void classesBecomePaths_data()
    {
        QTest::addColumn<QString>("kind");
        const std::pair<const char*, const char*> rows[] = {{"Dense", "dense"}, {"Conv2D", "conv2d"},
            {"MaxPooling2D", "max_pooling2d"}, {"BatchNormalization", "batch_normalization"}, {"LSTM", "lstm"},
            {"SimpleRNN", "simple_rnn"}, {"PReLU", "p_re_lu"}, {"DepthwiseConv2D", "depthwise_conv2d"},
            {"Conv2DTranspose", "conv2d_transpose"}, {"GlobalAveragePooling1D", "global_average_pooling1d"},
            {"MultiHeadAttention", "multi_head_attention"}};
        for (const auto& [name, kind] : rows)
            QTest::newRow(name) << kind;
    }

    void classesBecomePaths()
    {
        QFETCH(const QString, kind);
        QCOMPARE((KerasLayer {QTest::currentDataTag(), {}, {}, {}}.kind()), kind.toStdString());
    }

    void configurationsOfOldAndWrappedLayers()
    {
        const auto old = parseKerasConfig(R"({"class_name":"Sequential","config":[
            {"class_name":"Dense","config":{"name":"a"}},
            {"class_name":"Bidirectional","config":{"name":"b","layer":{"class_name":"LSTM","config":{"name":"c"}}}}]})",
            "x");
        QVERIFY(old);
        QCOMPARE(old->layers.size(), std::size_t(2));
        QCOMPARE(old->layers[1].name, std::string("b"));
        QCOMPARE(old->layers[1].wrapped.at(0).className, std::string("LSTM"));
        const KerasLayerIndex index(*old);
        QVERIFY(index.byName("a") == &old->layers[0]);
        QVERIFY(index.byKey(*old, "bidirectional") == &old->layers[1]);
        QVERIFY(index.byKey(*old, "dense_1") == nullptr && index.byName("d") == nullptr);
        for (const auto* broken : {"", "[]", "{", "[{\"class_name\":\"x\"}]", "\"class_name\"", "{\"class_name\":3}"})
            parseKerasConfig(broken, "x");  // ends, in whatever
    }

private:
    std::optional<tests::CheckpointFolder> m_folder;
};

QTEST_APPLESS_MAIN(TestKeras)
#include "tst_keras.moc"
