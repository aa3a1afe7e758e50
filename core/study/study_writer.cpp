// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/study_file.h"

#include "core/base/hash.h"
#include "core/base/mapped_file.h"
#include "core/study/calibration_tables.h"
#include "core/study/gradient_tables.h"
#include "core/study/recipe_tables.h"
#include "core/study/study_schema.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>

namespace quantloupe {
namespace {

using hdf5::GroupWriter;
using namespace study_schema;

/// Writes the columns of a table; `record(row)` is where a row's numbers are.
template<class Row, class Record, std::size_t Count, class Projection>
void writeColumns(GroupWriter& group, const std::vector<Row>& rows, const Column<Record> (&columns)[Count],
    const Projection& record, const std::string& prefix = {})
{
    for (const auto& column : columns)
        std::visit(
            [&](auto member) {
                using Number = std::remove_cvref_t<decltype(std::declval<const Record&>().*member)>;
                std::vector<Number> numbers;
                numbers.reserve(rows.size());
                for (const auto& row : rows)
                    numbers.push_back(record(row).*member);
                group.numbers<Number>((prefix + column.name).c_str(), numbers, column.meaning);
            },
            column.member);
}

/// One list per column, from a function of a catalog entry.
template<class Number, class Function>
std::vector<Number> gathered(const std::vector<CatalogTensor>& tensors, const Function& function)
{
    std::vector<Number> values;
    values.reserve(tensors.size());
    for (const auto& tensor : tensors)
        values.push_back(static_cast<Number>(function(tensor)));
    return values;
}

bool writeModel(hid_t file, const ModelCatalog& model)
{
    GroupWriter group(file, "/model");
    group.attribute("path", model.path);
    group.attribute("format", model.format);
    group.attribute("naming", std::string(model.naming == NamingWorld::Gguf ? "gguf" : "huggingface"));
    group.attribute("synthetic", std::uint64_t {model.synthetic});
    group.attribute("architecture", model.config.architecture);
    group.attribute("tied_embeddings", std::uint64_t {model.config.tiedEmbeddings});
    for (const auto& figure : kConfigFigures)
        if (const auto& value = model.config.*figure.member)
            group.attribute(figure.name, *value);
    group.texts("warnings", model.warnings, {"", "plain sentences"});

    const auto& tensors = model.tensors;
    GroupWriter table(file, "/model/tensors");
    const auto texts = [&](const char* name, const char* meaning, const auto& function) {
        std::vector<std::string> values;
        for (const auto& tensor : tensors)
            values.emplace_back(function(tensor));
        table.texts(name, values, {"", meaning});
    };
    const auto flags = [&](const char* name, const char* meaning, const auto& function) {
        table.numbers<std::uint8_t>(name, gathered<std::uint8_t>(tensors, function), {"0 or 1", meaning});
    };
    const auto counts = [&](const char* name, hdf5::Meaning meaning, const auto& function) {
        table.numbers<std::uint64_t>(name, gathered<std::uint64_t>(tensors, function), meaning);
    };
    const auto indices = [&](const char* name, const char* meaning, const auto& function) {
        table.numbers<std::int64_t>(name, gathered<std::int64_t>(tensors, function), {"index", meaning});
    };
    const auto orNone = [](const std::optional<unsigned>& index) { return index ? std::int64_t {*index} : -1; };

    texts("name", "as in the checkpoint", [](const auto& t) { return t.name; });
    texts("role", "what the tensor does", [](const auto& t) { return nameOf(t.parts.role); });
    texts("fused_group", "tensors that must share a scheme", [](const auto& t) { return t.parts.fusedGroup; });
    texts("dtype", "as stored in the checkpoint", [](const auto& t) { return nameOf(t.dtype); });
    texts(
        "packing", "how a packed weight is stored, empty: as the dtype says", [](const auto& t) { return t.packing; });
    indices("block", "transformer block, -1: none", [&](const auto& t) { return orNone(t.parts.block); });
    indices("expert", "expert of a mixture, -1: none", [&](const auto& t) { return orNone(t.parts.expert); });
    flags("shared_expert", "expert that every token uses", [](const auto& t) { return t.parts.sharedExpert; });
    flags("expert_stack", "all experts in one tensor", [](const auto& t) { return t.parts.expertStack; });
    flags("quantizable", "a weight matrix that can be decoded", [](const auto& t) { return t.quantizable; });
    counts("rank", {"1", "number of extents"}, [](const auto& t) { return t.shape.size(); });
    counts("rows", {"1", "output channels of the matrix"}, [](const auto& t) { return t.matrix.rows; });
    counts("columns", {"1", "input dimension of the matrix"}, [](const auto& t) { return t.matrix.columns; });
    counts("bytes", {"bytes", "as stored in the checkpoint"}, [](const auto& t) { return t.bytes; });
    std::size_t rank = 1;
    for (const auto& tensor : tensors)
        rank = std::max(rank, tensor.shape.size());
    std::vector<std::uint64_t> shapes(tensors.size() * rank);
    for (std::size_t i = 0; i < tensors.size(); ++i)
        std::copy(
            tensors[i].shape.begin(), tensors[i].shape.end(), shapes.begin() + static_cast<std::ptrdiff_t>(i * rank));
    table.table<std::uint64_t>(
        "shape", shapes, tensors.size(), rank, {"1", "extents, outermost first, filled up with 0"});
    return group.good() && table.good();
}

/// A tensor that was measured, with where it stands in the catalog.
struct Measured {
    std::uint64_t index = 0;
    const WeightStatistics* weights = nullptr;
    const SchemeMeasurements* schemes = nullptr;
};

struct ResultRow {
    std::uint64_t tensor = 0;
    const SchemeMeasurement* measurement = nullptr;
};

/// Rows of unequal length as one table, each filled up with zeros; the lengths are in /results.
template<class Number, class Function>
void writeTable(GroupWriter& group, const char* name, const SchemeMeasurements& schemes, hdf5::Meaning meaning,
    const Function& rowOf)
{
    std::size_t width = 0;
    for (const auto& entry : schemes)
        width = std::max(width, rowOf(*entry.second).size());
    std::vector<Number> values(width * schemes.size());
    auto target = values.begin();
    for (const auto& entry : schemes) {
        const auto& row = rowOf(*entry.second);
        std::copy(row.begin(), row.end(), target);
        target += static_cast<std::ptrdiff_t>(width);
    }
    group.table<Number>(name, values, schemes.size(), width, meaning);
}

bool writeArrays(hid_t file, const Measured& tensor, const std::string& name)
{
    GroupWriter group(file, ("/tensors/" + std::to_string(tensor.index)).c_str());
    group.attribute("name", name);
    const auto& weights = *tensor.weights;
    group.numbers<std::uint64_t>("weight_histogram", weights.histogram.counts, {kCount, "per bin"});
    group.numbers<double>("survival", weights.survival, {"1", "share of |w-mean| above 0.25 i standard deviations"});
    group.numbers<float>("row_absmax", weights.rowAbsMax, {kWeight, "largest size per output channel"});
    group.numbers<float>("column_absmax", weights.columnAbsMax, {kWeight, "largest size per input channel"});
    group.numbers<std::uint32_t>("outlier_rows", weights.outlierRows, {"index", "output channels that stand out"});
    group.numbers<std::uint32_t>("outlier_columns", weights.outlierColumns, {"index", "input channels that stand out"});
    const auto& schemes = *tensor.schemes;
    writeTable<std::uint64_t>(
        group, "error_histogram", schemes, {kCount, "w-q per bin, a row per scheme"},
        [](const auto& m) -> const auto& { return m.errorHistogram.counts; });
    writeTable<float>(
        group, "row_error_energy", schemes, {kEnergy, "sum of (w-q)^2 per output channel"},
        [](const auto& m) -> const auto& { return m.rowErrorEnergy; });
    writeTable<float>(
        group, "column_error_energy", schemes, {kEnergy, "sum of (w-q)^2 per input channel"},
        [](const auto& m) -> const auto& { return m.columnErrorEnergy; });
    return group.good();
}

bool writeResults(hid_t file, const std::vector<ResultRow>& rows)
{
    GroupWriter group(file, "/results");
    std::vector<std::uint64_t> tensors, bins, rowLengths, columnLengths;
    std::vector<std::string> schemes;
    for (const auto& row : rows) {
        tensors.push_back(row.tensor);
        schemes.push_back(row.measurement->scheme.toString());
        bins.push_back(row.measurement->errorHistogram.counts.size());
        rowLengths.push_back(row.measurement->rowErrorEnergy.size());
        columnLengths.push_back(row.measurement->columnErrorEnergy.size());
    }
    group.numbers<std::uint64_t>("tensor", tensors, {"index", "into /model/tensors"});
    group.texts("scheme", schemes, {"", "in the notation of the command line"});
    writeColumns(
        group, rows, kErrorColumns, [](const auto& r) -> const auto& { return r.measurement->error; });
    writeColumns(
        group, rows, kMeasurementColumns, [](const auto& r) -> const auto& { return *r.measurement; });
    writeColumns(
        group, rows, kImportanceColumns, [](const auto& r) -> const auto& { return *r.measurement; });
    writeColumns(
        group, rows, kCalibrationColumns, [](const auto& r) -> const auto& { return *r.measurement; });
    writeColumns(
        group, rows, kOutputColumns, [](const auto& r) -> const auto& { return r.measurement->outputError; });
    writeColumns(
        group, rows, kDivergenceColumns, [](const auto& r) -> const auto& { return r.measurement->divergence; });
    writeColumns(
        group, rows, kPredictedColumns, [](const auto& r) -> const auto& { return r.measurement->predicted; });
    writeColumns(
        group, rows, kHistogramColumns, [](const auto& r) -> const auto& { return r.measurement->errorHistogram; },
        "error_");
    for (const auto& column : kDerivedColumns) {
        std::vector<double> values;
        for (const auto& row : rows)
            values.push_back((row.measurement->error.*column.figure)());
        group.numbers<double>(column.name, values, column.meaning);
    }
    const auto length = [&](const char* name, const std::vector<std::uint64_t>& values) {
        group.numbers<std::uint64_t>(name, values, {"1", "entries in use of the row in /tensors/<index>"});
    };
    length("error_histogram_bins", bins);
    length("row_error_energy_length", rowLengths);
    length("column_error_energy_length", columnLengths);
    return group.good();
}

bool writeMeasurements(hid_t file, const StudySnapshot& study)
{
    std::vector<Measured> measured;
    std::vector<ResultRow> rows;
    for (std::size_t i = 0; i < study.model.tensors.size(); ++i) {
        const auto& name = study.model.tensors[i].name;
        const auto* weights = study.findWeights(name);
        if (!weights)
            continue;
        measured.push_back({i, weights, &study.of(name)});
        for (const auto& entry : study.of(name))
            rows.push_back({i, entry.second.get()});
    }
    GroupWriter group(file, "/weights");
    std::vector<std::uint64_t> indices;
    for (const auto& tensor : measured)
        indices.push_back(tensor.index);
    group.numbers<std::uint64_t>("tensor", indices, {"index", "into /model/tensors"});
    writeColumns(
        group, measured, kMomentColumns, [](const auto& m) -> const auto& { return m.weights->moments; });
    writeColumns(
        group, measured, kWeightColumns, [](const auto& m) -> const auto& { return *m.weights; });
    writeColumns(
        group, measured, kHistogramColumns, [](const auto& m) -> const auto& { return m.weights->histogram; });
    if (!group.good() || !writeResults(file, rows))
        return false;
    const GroupWriter arrays(file, "/tensors");
    return arrays.good() && std::all_of(measured.begin(), measured.end(), [&](const auto& tensor) {
        return writeArrays(file, tensor, study.model.tensors[tensor.index].name);
    });
}

bool writeContent(hid_t file, const StudySnapshot& study)
{
    GroupWriter root(file, "/");
    root.attribute("quantloupe_study", kVersion);
    root.attribute("fingerprint", study.model.fingerprint);
    if (!root.good() || !writeModel(file, study.model) || !writeMeasurements(file, study))
        return false;
    if (!writeCalibration(file, study.calibration) || !writeGradients(file, study.calibration)
        || !writeMeasuredRecipes(file, study.measuredRecipes))
        return false;
    if (study.recipe)
        root.texts("recipe", {study.recipe->toJson()}, {"", "native recipe, JSON"});
    return root.good();
}

/// Texts are padded with zeros, so none may end in one.
const std::string* unfitName(const ModelCatalog& model)
{
    for (const auto& tensor : model.tensors)
        if (tensor.name.find('\0') != std::string::npos)
            return &tensor.name;
    return nullptr;
}

Result<void> seal(const std::filesystem::path& path)
{
    auto mapped = MappedFile::open(path);
    if (!mapped)
        return tl::unexpected(mapped.error());
    FingerprintHasher hasher;
    hasher.add((*mapped)->bytes().subspan(kUserBlock));
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file << kSeal << hasher.hex() << '\n' << std::flush;
    file.close();
    if (!file)
        return systemFailure(ErrorCode::CannotWrite, path);
    return {};
}

}  // namespace

Result<void> writeStudyFile(const std::filesystem::path& path, const StudySnapshot& study)
{
    if (const auto* name = unfitName(study.model))
        return failure(
            ErrorCode::InvalidArgument, *name, "a tensor's name holds a NUL character, which a study cannot store");
    const hdf5::QuietErrors quiet;
    const hdf5::PropertyList creation(H5Pcreate(H5P_FILE_CREATE));
    H5Pset_userblock(creation.id(), kUserBlock);
    H5Pset_obj_track_times(creation.id(), false);  // the same results make the same file
    // The newer layout, whose every header carries a checksum: the library then notices damage before it follows it.
    const hdf5::PropertyList access(H5Pcreate(H5P_FILE_ACCESS));
    H5Pset_libver_bounds(access.id(), H5F_LIBVER_V110, H5F_LIBVER_V110);
    errno = 0;
    hdf5::File file(H5Fcreate(path.c_str(), H5F_ACC_EXCL, creation.id(), access.id()));
    const bool written = file && writeContent(file.id(), study);
    const int problem = errno;
    // Closing writes what is still in the library's cache: only now is it known whether the disk had room.
    if (!file || !file.close() || !written)
        return failure(ErrorCode::CannotWrite, path.string(),
            problem ? std::strerror(problem) : "the HDF5 library could not write the study");
    return seal(path);
}

}  // namespace quantloupe
