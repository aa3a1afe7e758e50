// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/models/tensor_filter_proxy.h"
#include "widgets/models/tensor_tree_model.h"

#include <QAbstractItemModelTester>
#include <QLocale>
#include <QSignalSpy>
#include <QTest>

#include <cmath>

using quantloupe::ModelCatalog;

namespace {

quantloupe::CatalogTensor tensor(const std::string& name, quantloupe::Shape shape)
{
    quantloupe::CatalogTensor made;
    made.name = name;
    made.parts = quantloupe::readName(name);
    made.shape = shape;
    made.matrix =
        shape.size() == 2 ? quantloupe::MatrixShape {shape[0], shape[1]} : quantloupe::MatrixShape {1, shape[0]};
    made.bytes = 4 * made.parameters();
    made.quantizable = shape.size() == 2;
    return made;
}

ModelCatalog catalog(unsigned blocks)
{
    ModelCatalog made;
    made.tensors.push_back(tensor("model.norm.weight", {8}));
    made.tensors.push_back(tensor("model.embed_tokens.weight", {16, 8}));
    for (unsigned block = blocks; block-- > 0;) {  // backwards: the tree sorts blocks by number
        const auto prefix = "model.layers." + std::to_string(block);
        made.tensors.push_back(tensor(prefix + ".input_layernorm.weight", {8}));
        made.tensors.push_back(tensor(prefix + ".self_attn.q_proj.weight", {8, 8}));
        made.tensors.push_back(tensor(prefix + ".mlp.down_proj.weight", {8, 16}));
    }
    return made;
}

quantloupe::Recipe recipe(const ModelCatalog& model)
{
    auto made = quantloupe::Recipe::uniform(*quantloupe::Scheme::parse("int4:g32"), model);
    made.rules.push_back({"model.layers.0.mlp.*", {*quantloupe::Scheme::parse("int8"), std::nullopt}});
    return made;
}

quantloupe::StudyPointer study(const ModelCatalog& model, const std::string& name, double signal, double error)
{
    auto made = std::make_shared<quantloupe::StudySnapshot>();
    made->model = model;
    quantloupe::TensorMeasurement measurement;
    measurement.tensor = name;
    measurement.schemes.resize(1);
    measurement.schemes[0].scheme = *quantloupe::Scheme::parse("int4:g32");
    measurement.schemes[0].error.count = 64;
    measurement.schemes[0].error.signalEnergy = signal;
    measurement.schemes[0].error.errorEnergy = error;
    made->add(measurement);
    return made;
}

QStringList namesOf(const QAbstractItemModel& model, const QModelIndex& parent = {})
{
    QStringList names;
    for (int row = 0; row < model.rowCount(parent); ++row)
        names << model.index(row, 0, parent).data().toString();
    return names;
}

}  // namespace

class TestTensorTreeModel : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { QLocale::setDefault(QLocale::c()); }

    void obeysTheContract()
    {
        TensorTreeModel model;
        TensorFilterProxy proxy;
        proxy.setSourceModel(&model);
        QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
        QAbstractItemModelTester proxyTester(&proxy, QAbstractItemModelTester::FailureReportingMode::QtTest);
        const auto made = catalog(3);
        model.setContents(
            made, resolve(recipe(made), made), study(made, "model.layers.1.self_attn.q_proj.weight", 4.0, 0.04));
        proxy.setFilterText(QStringLiteral("down"));
        model.setPlan(quantloupe::Plan(resolve(quantloupe::Recipe::uniform(quantloupe::Scheme {}, made), made)));
        proxy.sort(TensorTreeModel::Sqnr, Qt::DescendingOrder);
        model.setContents({}, {}, nullptr);
        QCOMPARE(model.rowCount(), 0);
    }

    void ordersBlocksByNumberBetweenEmbeddingAndTheRest()
    {
        TensorTreeModel model;
        const auto made = catalog(11);
        model.setContents(made, {}, nullptr);
        QCOMPARE(model.rowCount(), 13);
        QCOMPARE(model.index(0, 0).data().toString(), QStringLiteral("model.embed_tokens"));
        QCOMPARE(model.index(3, 0).data().toString(), QStringLiteral("block 2"));
        QCOMPARE(model.index(11, 0).data().toString(), QStringLiteral("block 10"));
        QCOMPARE(model.index(12, 0).data().toString(), QStringLiteral("model.norm"));
        QCOMPARE(namesOf(model, model.index(1, 0)),
            QStringList({QStringLiteral("input_layernorm"), QStringLiteral("self_attn.q_proj"),
                QStringLiteral("mlp.down_proj")}));
    }

    void findsEveryTensorAgain()
    {
        TensorTreeModel model;
        const auto made = catalog(4);
        model.setContents(made, {}, nullptr);
        for (const auto& each : made.tensors) {
            const auto index = model.indexOf(QString::fromStdString(each.name));
            QVERIFY(index.isValid());
            QCOMPARE(model.tensorAt(index).toStdString(), each.name);
        }
        QVERIFY(!model.indexOf(QStringLiteral("nothing")).isValid());
        QVERIFY(model.tensorAt(model.index(1, 0)).isEmpty());  // a block
    }

    void showsCells_data()
    {
        QTest::addColumn<QString>("tensor");
        QTest::addColumn<int>("column");
        QTest::addColumn<QString>("text");
        const auto q = QStringLiteral("model.layers.1.self_attn.q_proj.weight");
        const auto down = QStringLiteral("model.layers.0.mlp.down_proj.weight");
        QTest::addRow("shape") << q << int(TensorTreeModel::Shape) << QStringLiteral("8 × 8");
        QTest::addRow("role") << q << int(TensorTreeModel::Role) << "q";
        QTest::addRow("default scheme") << q << int(TensorTreeModel::Scheme) << "int4:g32";
        QTest::addRow("ruled scheme") << down << int(TensorTreeModel::Scheme) << "int8";
        QTest::addRow("kept") << "model.norm.weight" << int(TensorTreeModel::Scheme) << QStringLiteral("–");
        // 8 rows of 4 bytes of codes and one FP16 scale each.
        QTest::addRow("size") << q << int(TensorTreeModel::Size) << QStringLiteral("48\u00a0B");
        // 10·log10(4 / 0.04)
        QTest::addRow("measured") << q << int(TensorTreeModel::Sqnr) << QStringLiteral("20.00\u00a0dB");
        QTest::addRow("not measured") << down << int(TensorTreeModel::Sqnr) << QString();
    }
    void showsCells()
    {
        QFETCH(const QString, tensor);
        QFETCH(const int, column);
        QFETCH(const QString, text);
        TensorTreeModel model;
        const auto made = catalog(2);
        model.setContents(
            made, resolve(recipe(made), made), study(made, "model.layers.1.self_attn.q_proj.weight", 4.0, 0.04));
        QCOMPARE(model.indexOf(tensor).siblingAtColumn(column).data().toString(), text);
    }

    void sumsBlocksUp()
    {
        TensorTreeModel model;
        const auto made = catalog(2);
        const auto plan = resolve(recipe(made), made);
        model.setContents(made, plan, study(made, "model.layers.1.self_attn.q_proj.weight", 4.0, 0.04));
        quint64 bytes = 0;
        for (const auto& planned : plan.tensors)
            if (made.tensors[planned.tensor].parts.block == 0u)
                bytes += planned.bytes;
        const auto block = model.index(1, 0);
        QCOMPARE(block.siblingAtColumn(TensorTreeModel::Size).data(TensorTreeModel::ValueRole).toULongLong(), bytes);
        QCOMPARE(block.siblingAtColumn(TensorTreeModel::Scheme).data().toString(), QStringLiteral("mixed"));
        // One of its two tensors is not measured: the block's figure is not known.
        const auto sqnr = model.index(2, TensorTreeModel::Sqnr).data(TensorTreeModel::ValueRole).toDouble();
        QVERIFY(std::isnan(sqnr));
    }

    void editsLeaveAsSignals()
    {
        TensorTreeModel model;
        const auto made = catalog(2);
        model.setContents(made, resolve(recipe(made), made), nullptr);
        QSignalSpy spy(&model, &TensorTreeModel::schemeEdited);
        const auto q = model.indexOf(QStringLiteral("model.layers.1.self_attn.q_proj.weight"));
        QVERIFY(model.setData(q.siblingAtColumn(TensorTreeModel::Scheme), QStringLiteral("int8")));
        QCOMPARE(spy.takeFirst().at(1).toString(), QStringLiteral("int8"));
        QCOMPARE(q.siblingAtColumn(TensorTreeModel::Scheme).data().toString(), QStringLiteral("int4:g32"));
        QVERIFY(model.setData(model.index(1, TensorTreeModel::Scheme), QStringLiteral("nf4")));
        QCOMPARE(spy.takeFirst().at(0).toStringList().size(), 3);
        QVERIFY(!model.setData(q, QStringLiteral("renamed")));
        const auto norm = model.indexOf(QStringLiteral("model.norm.weight")).siblingAtColumn(TensorTreeModel::Scheme);
        QVERIFY(!(norm.flags() & Qt::ItemIsEditable));
        QVERIFY(!model.setData(norm, QStringLiteral("int8")));
    }

    void filters_data()
    {
        QTest::addColumn<QString>("text");
        QTest::addColumn<int>("tensors");
        QTest::addRow("nothing typed") << QString() << 8;
        QTest::addRow("name") << "down_proj" << 2;
        QTest::addRow("short words begin a part") << "q" << 2;
        QTest::addRow("two words") << "layers.1 attn" << 1;
        QTest::addRow("scheme") << "int8" << 1;
        QTest::addRow("role, any case") << "NORM" << 3;
        QTest::addRow("no such thing") << "zebra" << 0;
    }
    void filters()
    {
        QFETCH(const QString, text);
        QFETCH(const int, tensors);
        TensorTreeModel model;
        const auto made = catalog(2);
        model.setContents(made, resolve(recipe(made), made), nullptr);
        TensorFilterProxy proxy;
        proxy.setSourceModel(&model);
        proxy.setFilterText(text);
        int found = 0;
        for (const auto& each : made.tensors)
            found += proxy.mapFromSource(model.indexOf(QString::fromStdString(each.name))).isValid();
        QCOMPARE(found, tensors);
    }

    void sortsByValueWithUnknownLast()
    {
        TensorTreeModel model;
        const auto made = catalog(1);
        model.setContents(
            made, resolve(recipe(made), made), study(made, "model.layers.0.self_attn.q_proj.weight", 1.0, 0.1));
        TensorFilterProxy proxy;
        proxy.setSourceModel(&model);
        for (const auto order : {Qt::AscendingOrder, Qt::DescendingOrder}) {
            proxy.sort(TensorTreeModel::Sqnr, order);
            const auto block = proxy.mapFromSource(model.index(1, 0));
            QCOMPARE(proxy.index(0, 0, block).data().toString(), QStringLiteral("self_attn.q_proj"));
        }
    }
};

QTEST_GUILESS_MAIN(TestTensorTreeModel)
#include "tst_tensor_tree_model.moc"
